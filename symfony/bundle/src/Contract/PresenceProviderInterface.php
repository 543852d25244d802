<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Contract;

/**
 * Knows who is connected.
 *
 * Every implementation answers in one shape:
 *
 *     ['connections' => [[
 *         'connection_id' => '8d0c…', 'user_id' => '42', 'subjects' => ['user:42', 'channel:news'],
 *         'connected_at' => 1700000000, 'last_seen_at' => 1700000025, 'client_ip' => null,
 *     ], …]]
 *
 * Times are Unix seconds, integers; `last_seen_at` and `client_ip` are null where the source does not know them.
 */
interface PresenceProviderInterface
{
    /**
     * All connections, or those that fit every given filter. An empty filter is none.
     *
     * @return array{connections: list<array<string, mixed>>}
     *
     * @throws \Snoke\WsBundle\Exception\PresenceFailed the source does not answer, or answers something else
     */
    public function listConnections(?string $subjectKey = null, ?string $userId = null): array;

    /**
     * @return array{connections: list<array<string, mixed>>}
     *
     * @throws \Snoke\WsBundle\Exception\PresenceFailed as above
     */
    public function listConnectionsForUser(string $userId): array;
}
