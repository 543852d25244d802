<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Redis;

use Predis\Client;
use Predis\PredisException;
use Predis\Response\ServerException;
use Snoke\WsBundle\Exception\RedisUnavailable;

/**
 * Redis by Predis (1.1 or later), which needs no extension.
 */
final class PredisClient implements RedisClientInterface
{
    private ?Client $client = null;

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
        $failed = false;
        try {
            $client = $this->client ??= $this->open();
            $answer = $client->executeRaw([$command, ...array_map('strval', $arguments)], $failed);
        } catch (PredisException $exception) {
            $this->close();
            throw new RedisUnavailable("Redis at $this->dsn: {$exception->getMessage()}", 0, $exception);
        }
        if ($failed) {
            $refusal = Refusal::of((string) $answer);
            if ($refusal instanceof RedisUnavailable) {
                // Behind the same name another server may be ready.
                $this->close();
            }
            throw $refusal;
        }

        return $answer;
    }

    public function close(): void
    {
        $client = $this->client;
        $this->client = null;
        $client?->disconnect();
    }

    private function open(): Client
    {
        $parameters = [
            'timeout' => $this->connectTimeout,
            'read_write_timeout' => $this->readTimeout,
            'database' => $this->dsn->database ?: null,
            'password' => '' === $this->dsn->password ? null : $this->dsn->password,
        ];
        $parameters += match ($this->dsn->scheme) {
            'unix' => ['scheme' => 'unix', 'path' => $this->dsn->path],
            'rediss' => ['scheme' => 'tls', 'host' => $this->dsn->host, 'port' => $this->dsn->port],
            default => ['scheme' => 'tcp', 'host' => $this->dsn->host, 'port' => $this->dsn->port],
        };
        if ('' === $this->dsn->user || null === $parameters['password']) {
            return new Client(array_filter($parameters, static fn ($value) => null !== $value));
        }
        // Predis 1.1 knows no user names, so the login is sent here, and the database chosen after it.
        unset($parameters['password'], $parameters['database']);
        $client = new Client($parameters);
        $this->greet($client, 'AUTH', $this->dsn->user, $this->dsn->password);
        if (0 !== $this->dsn->database) {
            $this->greet($client, 'SELECT', (string) $this->dsn->database);
        }

        return $client;
    }

    private function greet(Client $client, string ...$command): void
    {
        $failed = false;
        $answer = $client->executeRaw($command, $failed);
        if ($failed) {
            throw new ServerException((string) $answer);
        }
    }
}
