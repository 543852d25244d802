<?php

declare(strict_types=1);

namespace Snoke\WsBundle\DependencyInjection;

use Snoke\WsBundle\Settings\Settings;
use Symfony\Component\Config\Definition\Exception\InvalidConfigurationException;
use Symfony\Component\Config\FileLocator;
use Symfony\Component\DependencyInjection\ContainerBuilder;
use Symfony\Component\DependencyInjection\Extension\Extension;
use Symfony\Component\DependencyInjection\Loader\PhpFileLoader;

/**
 * Hands the configuration and the environment to `Settings`, which reads both at run time.
 */
final class SnokeWsExtension extends Extension
{
    /**
     * @param array<array<string, mixed>> $configs
     */
    public function load(array $configs, ContainerBuilder $container): void
    {
        $tree = $this->processConfiguration(new Configuration(), $configs);
        self::refuseLists($tree);
        (new PhpFileLoader($container, new FileLocator(\dirname(__DIR__, 2) . '/config')))->load('services.php');
        $environment = [];
        foreach (Settings::ENVIRONMENT as $name) {
            $environment[$name] = "%env(default::$name)%";
        }
        $container->getDefinition('snoke_ws.settings')->setArguments([$tree, $environment]);
    }

    /**
     * @param array<string, mixed> $tree
     */
    private static function refuseLists(array $tree, string $above = ''): void
    {
        foreach ($tree as $name => $value) {
            $path = $above . $name;
            if (!\is_array($value) || \in_array($path, Configuration::LISTS, true)) {
                continue;
            }
            if (array_is_list($value)) {
                throw new InvalidConfigurationException("The path \"snoke_ws.$path\" takes one value, not a list.");
            }
            self::refuseLists($value, "$path.");
        }
    }
}
