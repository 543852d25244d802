<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

use Snoke\WsBundle\Contract\PresenceProviderInterface;
use Snoke\WsBundle\Exception\PresenceFailed;
use Snoke\WsBundle\Exception\RedisRefused;
use Snoke\WsBundle\Exception\RedisUnavailable;
use Snoke\WsBundle\Redis\RedisClientInterface;

/**
 * Reads the presence that gateways keep in Redis.
 */
final class RedisPresenceProvider implements PresenceProviderInterface
{
    private const SCAN_COUNT = 500;

    public function __construct(
        private readonly RedisClientInterface $redis,
        private readonly string $prefix = 'presence:',
        private readonly PresenceInterpreter $interpreter = new PresenceInterpreter()
    ) {
    }

    public function listConnections(?string $subjectKey = null, ?string $userId = null): array
    {
        $sets = [];
        if (null !== $userId && '' !== $userId) {
            $sets[] = "{$this->prefix}user:$userId";
        }
        if (null !== $subjectKey && '' !== $subjectKey) {
            $sets[] = "{$this->prefix}subject:$subjectKey";
        }
        try {
            $connections = [] === $sets ? $this->everybody() : $this->members($sets);
        } catch (RedisUnavailable | RedisRefused $error) {
            throw new PresenceFailed("Presence cannot be read: {$error->getMessage()}", 0, $error);
        }

        return ['connections' => $this->interpreter->alive($connections, false)];
    }

    public function listConnectionsForUser(string $userId): array
    {
        return '' === $userId ? ['connections' => []] : $this->listConnections(null, $userId);
    }

    /**
     * @param non-empty-list<string> $sets
     *
     * @return list<array<string, mixed>>
     */
    private function members(array $sets): array
    {
        $connections = [];
        foreach ($this->redis->call('SINTER', ...$sets) ?? [] as $id) {
            $connection = $this->connection("{$this->prefix}conn:$id");
            if (null !== $connection) {
                $connections[] = $connection;
                continue;
            }
            // The hash lives shorter than the sets: who is gone without a word is taken out here.
            foreach ($sets as $set) {
                $this->redis->call('SREM', $set, $id);
            }
        }

        return $connections;
    }

    /**
     * @return list<array<string, mixed>>
     */
    private function everybody(): array
    {
        // What means something in a pattern is taken literally.
        $pattern = addcslashes($this->prefix, '*?[]\\') . 'conn:*';
        $found = [];
        $cursor = '0';
        do {
            [$cursor, $keys] = $this->redis->call('SCAN', $cursor, 'MATCH', $pattern, 'COUNT', self::SCAN_COUNT);
            foreach ($keys as $key) {
                // A scan may bring a key twice.
                $found[$key] ??= $this->connection($key);
            }
        } while ('0' !== (string) $cursor);

        return array_values(array_filter($found));
    }

    /**
     * @return array<string, mixed>|null
     */
    private function connection(string $key): ?array
    {
        $flat = $this->redis->call('HGETALL', $key) ?? [];
        $entry = [];
        for ($at = 0; $at + 1 < \count($flat); $at += 2) {
            $entry[$flat[$at]] = $flat[$at + 1];
        }

        return PresenceEntry::of($entry);
    }
}
