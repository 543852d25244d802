<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Consumer;

use Snoke\WsBundle\Json;

/**
 * An entry of a stream that is ours to handle.
 */
final class StreamEntry
{
    /**
     * @param int $deliveries how often it has been given to a consumer, this time included
     */
    public function __construct(
        public readonly string $stream,
        public readonly string $id,
        public readonly string $data,
        public readonly int $deliveries = 1
    ) {
    }

    /**
     * @param list<string> $fields names and values in turn, as Redis has them
     */
    public static function of(string $stream, string $id, array $fields, int $deliveries = 1): self
    {
        $named = [];
        for ($at = 0; $at + 1 < \count($fields); $at += 2) {
            $named[$fields[$at]] = $fields[$at + 1];
        }
        try {
            // Without the one field that we read, all that is there goes to the dead letters.
            $data = $named['data'] ?? Json::encode($named);
        } catch (\InvalidArgumentException) {
            $data = '';
        }

        return new self($stream, $id, $data, $deliveries);
    }

    public function key(): string
    {
        return "$this->stream $this->id";
    }
}
