<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Container;

use PHPUnit\Framework\TestCase;
use Snoke\WsBundle\Settings\Settings;
use Snoke\WsBundle\Tests\App\Kernel;
use Symfony\Component\Filesystem\Filesystem;

/**
 * A test that boots applications in environments of its own.
 */
abstract class ContainerCase extends TestCase
{
    /** @var list<Kernel> */
    private array $kernels = [];

    /** @var array<string, string|false> */
    private array $before = [];

    protected function setUp(): void
    {
        foreach (Settings::ENVIRONMENT as $name) {
            $this->before[$name] = getenv($name);
            $this->put($name, null);
        }
    }

    protected function tearDown(): void
    {
        foreach ($this->before as $name => $value) {
            $this->put($name, false === $value ? null : $value);
        }
        foreach ($this->kernels as $kernel) {
            $kernel->shutdown();
            (new Filesystem())->remove(\dirname($kernel->directory()));
        }
        $this->kernels = [];
        // Symfony's error handler stays behind a booted kernel.
        restore_exception_handler();
    }

    /**
     * @param array<string, mixed>|string $configuration
     * @param array<string, string>       $environment   real variables, as a container's are: not in $_ENV
     */
    protected function boot(array|string $configuration = [], array $environment = [], string $mode = 'test'): Kernel
    {
        foreach ($environment as $name => $value) {
            $this->put($name, $value);
        }
        $kernel = new Kernel($configuration, $mode);
        $this->kernels[] = $kernel;
        $kernel->boot();

        return $kernel;
    }

    /**
     * @param array<string, mixed>|string $configuration
     * @param array<string, string>       $environment
     */
    protected function settings(array|string $configuration = [], array $environment = []): Settings
    {
        return $this->boot($configuration, $environment)->getContainer()->get('snoke_ws.settings');
    }

    private function put(string $name, ?string $value): void
    {
        putenv(null === $value ? $name : "$name=$value");
        unset($_ENV[$name], $_SERVER[$name]);
    }
}
