<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Redis;

use Snoke\WsBundle\Exception\ConfigurationInvalid;

/**
 * Makes clients with the library that is installed. One address has one client, which all share.
 */
final class RedisConnections
{
    public const LIBRARIES = ['phpredis', 'predis'];

    /** @var array<string, RedisClientInterface> */
    private array $clients = [];

    /**
     * @param string $library `phpredis`, `predis`, or '' for the first one that is installed
     */
    public function __construct(private readonly string $library = '')
    {
    }

    public function to(#[\SensitiveParameter] string $dsn): RedisClientInterface
    {
        return $this->clients[hash('sha256', $dsn)] ??= $this->make(RedisDsn::parse($dsn));
    }

    private function make(RedisDsn $dsn): RedisClientInterface
    {
        $installed = ['phpredis' => \extension_loaded('redis'), 'predis' => class_exists(\Predis\Client::class)];
        $chosen = '' === $this->library ? array_search(true, $installed, true) : $this->library;
        if (false === $chosen || !($installed[$chosen] ?? false)) {
            throw new ConfigurationInvalid(
                'Redis needs the PHP extension redis, or composer require predis/predis'
                . ('' === $this->library ? '.' : "; snoke_ws.redis.client asks for \"$this->library\".")
            );
        }

        return 'phpredis' === $chosen ? new PhpRedisClient($dsn) : new PredisClient($dsn);
    }
}
