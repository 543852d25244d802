<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Redis;

use Snoke\WsBundle\Exception\RedisUnavailable;

/**
 * Redis by the extension (ext-redis 5.3 or later).
 */
final class PhpRedisClient implements RedisClientInterface
{
    private ?\Redis $redis = null;

    /**
     * @param float $readTimeout seconds; more than any blocking command takes
     */
    public function __construct(
        private readonly RedisDsn $dsn,
        private readonly float $connectTimeout = 2.0,
        private readonly float $readTimeout = 5.0
    ) {
    }

    public function call(string $command, string|int ...$arguments): mixed
    {
        try {
            $redis = $this->redis ??= $this->connect();
            $redis->clearLastError();
            $answer = $redis->rawCommand($command, ...$arguments);
            $error = $redis->getLastError();
        } catch (\RedisException $exception) {
            $this->close();
            // The extension throws what a server says where it asks for the password itself.
            throw new RedisUnavailable("Redis at $this->dsn: {$exception->getMessage()}", 0, $exception);
        }
        if (null !== $error) {
            $refusal = Refusal::of($error);
            if ($refusal instanceof RedisUnavailable) {
                // Behind the same name another server may be ready.
                $this->close();
            }
            throw $refusal;
        }

        // The extension has no null.
        return false === $answer ? null : $answer;
    }

    public function close(): void
    {
        $redis = $this->redis;
        $this->redis = null;
        try {
            $redis?->close();
        } catch (\RedisException) {
            // It was closed already.
        }
    }

    private function connect(): \Redis
    {
        $redis = new \Redis();
        // Names that do not resolve are PHP warnings beside the exception.
        if ('unix' === $this->dsn->scheme) {
            $connected = @$redis->connect($this->dsn->path, 0, $this->connectTimeout, null, 0, $this->readTimeout);
        } else {
            $host = str_contains($this->dsn->host, ':') ? "[{$this->dsn->host}]" : $this->dsn->host;
            $host = 'rediss' === $this->dsn->scheme ? "tls://$host" : $host;
            $connected = @$redis->connect($host, $this->dsn->port, $this->connectTimeout, null, 0, $this->readTimeout);
        }
        if (!$connected) {
            throw new \RedisException('no connection');
        }
        if ('' !== $this->dsn->password) {
            $user = $this->dsn->user;
            $redis->auth('' === $user ? $this->dsn->password : [$user, $this->dsn->password]);
        }
        if (0 !== $this->dsn->database && !$redis->select($this->dsn->database)) {
            throw new \RedisException("there is no database {$this->dsn->database}");
        }
        // Keepalive, so that a peer that vanished is noticed between commands.
        $redis->setOption(\Redis::OPT_TCP_KEEPALIVE, 1);

        return $redis;
    }
}
