<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Consumer;

use Psr\Log\AbstractLogger;
use Psr\Log\LoggerInterface;
use Psr\Log\LogLevel;

/**
 * Writes one line for each message from a level on, and hands errors to the application's log as well.
 */
final class ConsumerLogger extends AbstractLogger
{
    private const LEVELS = [
        LogLevel::DEBUG => 0,
        LogLevel::INFO => 1,
        LogLevel::NOTICE => 2,
        LogLevel::WARNING => 3,
        LogLevel::ERROR => 4,
        LogLevel::CRITICAL => 5,
        LogLevel::ALERT => 6,
        LogLevel::EMERGENCY => 7,
    ];

    /**
     * @param resource $stream
     * @param string   $level  one of PSR-3
     */
    public function __construct(
        private $stream,
        private readonly string $level = LogLevel::INFO,
        private readonly ?LoggerInterface $application = null
    ) {
    }

    /**
     * @param mixed              $level
     * @param string|\Stringable $message
     * @param array<mixed>       $context
     */
    public function log($level, $message, array $context = []): void
    {
        $rank = self::LEVELS[$level] ?? 4;
        if ($rank >= self::LEVELS[LogLevel::ERROR]) {
            $this->application?->log($level, $message, $context);
        }
        if ($rank < (self::LEVELS[$this->level] ?? 1)) {
            return;
        }
        unset($context['exception']);
        $line = [
            'time' => gmdate('Y-m-d\TH:i:s\Z'),
            'level' => $level,
            'message' => self::filled((string) $message, $context),
        ] + $context;
        $flags = \JSON_UNESCAPED_SLASHES | \JSON_UNESCAPED_UNICODE | \JSON_INVALID_UTF8_SUBSTITUTE
            | \JSON_PARTIAL_OUTPUT_ON_ERROR;
        fwrite($this->stream, json_encode($line, $flags) . "\n");
    }

    /**
     * @param array<mixed> $context
     */
    private static function filled(string $message, array $context): string
    {
        $values = [];
        foreach ($context as $name => $value) {
            if (\is_scalar($value)) {
                $values['{' . $name . '}'] = (string) $value;
            }
        }

        return strtr($message, $values);
    }
}
