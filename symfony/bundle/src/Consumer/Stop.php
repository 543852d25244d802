<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Consumer;

/**
 * When a consumer has done enough: a signal, a number of events, a time.
 */
final class Stop
{
    private const SLICE = 0.05;

    private bool $asked = false;
    private int $handled = 0;
    private readonly float $deadline;

    /** @var array<int, mixed> what reacted to the signals before */
    private array $before = [];

    /**
     * @param int   $limit   events; 0 for no limit
     * @param float $seconds 0 for no limit
     */
    public function __construct(private readonly int $limit = 0, float $seconds = 0.0)
    {
        $this->deadline = $seconds > 0 ? self::now() + $seconds : \INF;
    }

    /**
     * Stops at SIGTERM and SIGINT from now on.
     *
     * @return bool false without ext-pcntl: signals end the process then, wherever it is
     */
    public function listen(): bool
    {
        if (!\function_exists('pcntl_async_signals')) {
            return false;
        }
        pcntl_async_signals(true);
        foreach ([\SIGTERM, \SIGINT] as $signal) {
            $this->before[$signal] = pcntl_signal_get_handler($signal);
            pcntl_signal($signal, $this->ask(...), false);
        }

        return true;
    }

    /**
     * Gives the signals back.
     */
    public function release(): void
    {
        foreach ($this->before as $signal => $before) {
            pcntl_signal($signal, $before);
        }
        $this->before = [];
    }

    public function ask(): void
    {
        $this->asked = true;
    }

    /**
     * One more event is done.
     */
    public function count(): void
    {
        ++$this->handled;
    }

    public function handled(): int
    {
        return $this->handled;
    }

    /**
     * How many of so many events may still be fetched.
     */
    public function atMost(int $events): int
    {
        return $this->limit > 0 ? max(1, min($events, $this->limit - $this->handled)) : $events;
    }

    public function requested(): bool
    {
        return $this->asked || ($this->limit > 0 && $this->handled >= $this->limit) || self::now() >= $this->deadline;
    }

    /**
     * Waits, but no longer than until it is time to stop.
     */
    public function sleep(float $seconds): void
    {
        $until = self::now() + $seconds;
        while (!$this->requested() && ($left = $until - self::now()) > 0) {
            usleep((int) (1_000_000 * min($left, self::SLICE)));
        }
    }

    private static function now(): float
    {
        return hrtime(true) / 1e9;
    }
}
