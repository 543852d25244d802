<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Brokers;

use PHPUnit\Framework\TestCase;
use Snoke\WsBundle\Redis\PhpRedisClient;
use Snoke\WsBundle\Redis\PredisClient;
use Snoke\WsBundle\Redis\RedisClientInterface;
use Snoke\WsBundle\Redis\RedisDsn;

/**
 * A test with a real Redis and names of its own in it.
 */
abstract class RedisCase extends TestCase
{
    protected string $dsn;
    protected string $own;
    protected RedisClientInterface $redis;

    protected function setUp(): void
    {
        $this->dsn = (string) getenv('REDIS_DSN');
        if ('' === $this->dsn) {
            self::markTestSkipped('REDIS_DSN names no server for the tests.');
        }
        $this->own = 't' . bin2hex(random_bytes(6));
        $this->redis = self::client('phpredis', $this->dsn);
    }

    protected function tearDown(): void
    {
        if (isset($this->redis)) {
            foreach ($this->redis->call('KEYS', "$this->own*") as $key) {
                $this->redis->call('DEL', $key);
            }
            $this->redis->close();
        }
    }

    /**
     * @return iterable<string, array{string}>
     */
    public static function libraries(): iterable
    {
        yield 'ext-redis' => ['phpredis'];
        yield 'Predis' => ['predis'];
    }

    protected static function client(string $library, string $dsn, float $readTimeout = 5.0): RedisClientInterface
    {
        return 'phpredis' === $library
            ? new PhpRedisClient(RedisDsn::parse($dsn), 2.0, $readTimeout)
            : new PredisClient(RedisDsn::parse($dsn), 2.0, $readTimeout);
    }

    /**
     * @return list<array<string, string>> fields of each entry
     */
    protected function entries(string $stream): array
    {
        return array_map(static function (array $entry): array {
            $fields = [];
            foreach (array_chunk($entry[1], 2) as [$name, $value]) {
                $fields[$name] = $value;
            }

            return $fields;
        }, $this->redis->call('XRANGE', $stream, '-', '+'));
    }
}
