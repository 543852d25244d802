<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\App;

use Psr\Log\AbstractLogger;

/**
 * A logger that remembers.
 */
final class Recorder extends AbstractLogger
{
    /** @var list<array{level: string, message: string, context: array<mixed>}> */
    public array $lines = [];

    public function log($level, $message, array $context = []): void
    {
        $this->lines[] = ['level' => (string) $level, 'message' => (string) $message, 'context' => $context];
    }

    public function text(): string
    {
        return implode("\n", array_map(
            static fn (array $line) => $line['level'] . ' ' . $line['message'] . ' ' . @json_encode($line['context']),
            $this->lines
        ));
    }
}
