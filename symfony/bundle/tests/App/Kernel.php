<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\App;

use Snoke\WsBundle\SnokeWsBundle;
use Symfony\Bundle\FrameworkBundle\FrameworkBundle;
use Symfony\Component\Config\Loader\LoaderInterface;
use Symfony\Component\DependencyInjection\Compiler\CompilerPassInterface;
use Symfony\Component\DependencyInjection\ContainerBuilder;
use Symfony\Component\HttpKernel\Kernel as BaseKernel;

/**
 * An application with nothing but the bundle, and every service of it within reach.
 */
final class Kernel extends BaseKernel implements CompilerPassInterface
{
    /**
     * @param array<string, mixed>|string $snokeWs configuration below `snoke_ws`, or the whole file as YAML
     */
    public function __construct(private array|string $snokeWs = [], string $environment = 'test', bool $debug = false)
    {
        parent::__construct($environment, $debug);
    }

    public function registerBundles(): iterable
    {
        return [new FrameworkBundle(), new SnokeWsBundle()];
    }

    public function registerContainerConfiguration(LoaderInterface $loader): void
    {
        if (\is_string($this->snokeWs)) {
            $file = $this->directory() . '/snoke_ws.yaml';
            @mkdir(\dirname($file), 0777, true);
            file_put_contents($file, $this->snokeWs);
            $loader->load($file);
        }
        $loader->load(function (ContainerBuilder $container): void {
            $container->loadFromExtension('framework', [
                'secret' => 'test',
                'http_method_override' => false,
                'router' => ['resource' => '@SnokeWsBundle/config/routes.php', 'utf8' => true],
                'php_errors' => ['log' => true],
            ]);
            $container->register('logger', Recorder::class)->setPublic(true);
            $container->register(Listener::class, Listener::class)->setPublic(true)
                ->addTag('kernel.event_subscriber');
            if (\is_array($this->snokeWs)) {
                $container->loadFromExtension('snoke_ws', $this->snokeWs);
            }
        });
    }

    public function process(ContainerBuilder $container): void
    {
        foreach ([...$container->getDefinitions(), ...$container->getAliases()] as $id => $entry) {
            if (str_starts_with($id, 'snoke_ws.') || str_starts_with($id, 'Snoke\\')) {
                $entry->setPublic(true);
            }
        }
    }

    public function getProjectDir(): string
    {
        return \dirname(__DIR__);
    }

    public function getCacheDir(): string
    {
        return $this->directory() . '/cache';
    }

    public function getLogDir(): string
    {
        return $this->directory() . '/log';
    }

    public function directory(): string
    {
        return sys_get_temp_dir() . '/snoke-ws-' . getmypid() . '/' . md5(serialize([
            $this->snokeWs,
            $this->environment,
        ]));
    }
}
