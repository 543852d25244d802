<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Brokers;

use Symfony\Component\Filesystem\Filesystem;

/**
 * `ws:consume` as a process of its own.
 */
final class ConsumerProcess
{
    private const PATIENCE = 60.0;

    /** @var resource */
    private $process;

    public readonly string $handled;
    private readonly string $log;
    private readonly int $pid;
    private ?int $code = null;

    /**
     * @param array<string, mixed> $configuration
     * @param list<string>         $options
     */
    public function __construct(array $configuration, array $options = [])
    {
        $this->handled = (string) tempnam(sys_get_temp_dir(), 'handled');
        $this->log = (string) tempnam(sys_get_temp_dir(), 'log');
        $process = proc_open(
            [\PHP_BINARY, \dirname(__DIR__) . '/App/console.php', 'ws:consume', ...$options],
            [['file', '/dev/null', 'r'], ['file', $this->log, 'a'], ['file', $this->log, 'a']],
            $pipes,
            null,
            // The settings of whoever runs the tests are not those of the application.
            [
                'PATH' => (string) getenv('PATH'),
                'SNOKE_WS' => (string) json_encode($configuration),
                'HANDLED' => $this->handled,
                'WS_CONSUMER_LOG_LEVEL' => 'debug',
            ]
        );
        \assert(\is_resource($process));
        $this->process = $process;
        $this->pid = proc_get_status($process)['pid'];
    }

    /**
     * Waits until something is so, and tells the log if it never is.
     *
     * @param callable():bool $condition
     */
    public function until(callable $condition): void
    {
        $end = microtime(true) + self::PATIENCE;
        while (!$condition()) {
            if (microtime(true) > $end) {
                throw new \RuntimeException("It never happened. The consumer's log:\n" . $this->log());
            }
            usleep(10_000);
        }
    }

    /**
     * @return list<string> the ids of which the listener saw the beginning, or the end
     */
    public function ids(string $word): array
    {
        $lines = file($this->handled, \FILE_IGNORE_NEW_LINES) ?: [];
        $found = array_filter($lines, static fn (string $line) => str_starts_with($line, "$word "));

        return array_values(array_map(static fn (string $line) => substr($line, \strlen($word) + 1), $found));
    }

    public function log(): string
    {
        return (string) file_get_contents($this->log);
    }

    public function reading(): bool
    {
        return str_contains($this->log(), '"message":"Reading ');
    }

    public function signal(int $signal): void
    {
        proc_terminate($this->process, $signal);
    }

    /**
     * Waits for the end.
     *
     * @return int the exit code; -1 if a signal ended it
     */
    public function wait(): int
    {
        $this->until(fn () => !$this->running());

        return (int) $this->code;
    }

    public function end(): void
    {
        if ($this->running()) {
            $this->signal(\SIGKILL);
            $this->wait();
        }
        proc_close($this->process);
        array_map('unlink', [$this->handled, $this->log]);
        // One that was killed could not clear its container away.
        (new Filesystem())->remove(sys_get_temp_dir() . "/snoke-ws-$this->pid");
    }

    private function running(): bool
    {
        $status = proc_get_status($this->process);
        if (!$status['running']) {
            // PHP tells the code once.
            $this->code ??= $status['exitcode'];
        }

        return $status['running'];
    }
}
