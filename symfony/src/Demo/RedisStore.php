<?php

declare(strict_types=1);

namespace App\Demo;

use Snoke\WsBundle\Exception\RedisRefused;
use Snoke\WsBundle\Exception\RedisUnavailable;
use Snoke\WsBundle\Redis\RedisClientInterface;

/**
 * In Redis, where the consumer and the web server may be on different machines.
 */
final class RedisStore implements LastMessageStore
{
    private const KEY = 'demo:ws:last_message';

    public function __construct(private readonly RedisClientInterface $redis)
    {
    }

    public function put(string $document): void
    {
        $this->call('SET', self::KEY, $document);
    }

    public function get(): ?string
    {
        $document = $this->call('GET', self::KEY);

        return \is_string($document) ? $document : null;
    }

    private function call(string $command, string ...$arguments): mixed
    {
        try {
            return $this->redis->call($command, ...$arguments);
        } catch (RedisUnavailable | RedisRefused $error) {
            throw new StoreFailed("Redis did not do it: {$error->getMessage()}", 0, $error);
        }
    }
}
