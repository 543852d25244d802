<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

use Snoke\WsBundle\Contract\PresenceWriterInterface;
use Snoke\WsBundle\Json;
use Snoke\WsBundle\Redis\RedisClientInterface;

/**
 * Writes the keys that the gateway writes: a hash for each connection, and sets of ids by user and by subject.
 */
final class RedisPresenceWriter implements PresenceWriterInterface
{
    /**
     * @param int $ttl seconds after which a silent connection is gone; 0 for never
     */
    public function __construct(
        private readonly RedisClientInterface $redis,
        private readonly string $prefix = 'presence:',
        private readonly int $ttl = 120
    ) {
    }

    public function upsertConnection(string $connectionId, string $userId, array $subjects, int $connectedAt): void
    {
        $hash = "{$this->prefix}conn:$connectionId";
        $this->redis->call('HSET', $hash, ...[
            'connection_id', $connectionId,
            'user_id', $userId,
            'subjects', Json::encode(array_values($subjects)),
            'connected_at', $connectedAt,
            'last_seen_at', time(),
        ]);
        $this->expire($hash);
        foreach ($this->sets($userId, $subjects) as $set) {
            $this->redis->call('SADD', $set, $connectionId);
            $this->expire($set);
        }
    }

    public function touchConnection(string $connectionId, string $userId, array $subjects): void
    {
        $hash = "{$this->prefix}conn:$connectionId";
        if (0 === $this->redis->call('EXISTS', $hash)) {
            // Nobody knows when it connected; half an entry would be worse than none.
            return;
        }
        $this->redis->call('HSET', $hash, 'last_seen_at', time());
        $this->expire($hash);
        foreach ($this->sets($userId, $subjects) as $set) {
            $this->redis->call('SADD', $set, $connectionId);
            $this->expire($set);
        }
    }

    public function removeConnection(string $connectionId, string $userId, array $subjects): void
    {
        $this->redis->call('DEL', "{$this->prefix}conn:$connectionId");
        foreach ($this->sets($userId, $subjects) as $set) {
            $this->redis->call('SREM', $set, $connectionId);
        }
    }

    /**
     * @param list<string> $subjects
     *
     * @return list<string>
     */
    private function sets(string $userId, array $subjects): array
    {
        return [
            "{$this->prefix}user:$userId",
            ...array_map(fn (string $subject) => "{$this->prefix}subject:$subject", $subjects),
        ];
    }

    private function expire(string $key): void
    {
        if ($this->ttl > 0) {
            $this->redis->call('EXPIRE', $key, $this->ttl);
        }
    }
}
