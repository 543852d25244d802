<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\App;

/**
 * Events as the gateway sends them.
 */
final class Documents
{
    /**
     * @param array<string, mixed> $more
     *
     * @return array<string, mixed>
     */
    public static function message(array $more = []): array
    {
        return $more + [
            'type' => 'message_received',
            'connection_id' => '8d0c2f0e-9f1c-4f6e-8f0a-2f4d6c1f7a10',
            'user_id' => '42',
            'subjects' => ['user:42', 'channel:news'],
            'connected_at' => 1_700_000_000,
            'event_id' => '0190a0b0-5c1e-7c3a-9f41-2f6d3f0f7a11',
            'occurred_at_ms' => 1_700_000_001_234,
            'node_id' => 'gw-1',
            'seq' => 1,
            'message' => ['type' => 'chat', 'payload' => 'hello world'],
            'raw' => '{"type":"chat","payload":"hello world"}',
        ];
    }

    /**
     * @param array<string, mixed> $more
     *
     * @return array<string, mixed>
     */
    public static function connected(array $more = []): array
    {
        $document = ['type' => 'connected', 'seq' => 0] + self::message();
        unset($document['message'], $document['raw']);

        return $more + $document;
    }

    /**
     * @param array<string, mixed> $more
     *
     * @return array<string, mixed>
     */
    public static function disconnected(array $more = []): array
    {
        return $more + ['type' => 'disconnected', 'seq' => 2, 'code' => 1000, 'reason' => 'bye', 'cause' => 'client']
            + self::connected();
    }
}
