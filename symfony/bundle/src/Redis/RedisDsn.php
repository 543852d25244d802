<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Redis;

use Snoke\WsBundle\Exception\ConfigurationInvalid;

/**
 * Where Redis is: `redis://[[user]:password@]host[:port][/database]`, `rediss://…` for TLS, or
 * `unix://[[user]:password@]/path/to/redis.sock[?db=1]`. Every part is percent-decoded once.
 */
final class RedisDsn
{
    private function __construct(
        public readonly string $scheme,
        public readonly string $host,
        public readonly int $port,
        public readonly string $path,
        public readonly string $user,
        #[\SensitiveParameter]
        public readonly string $password,
        public readonly int $database
    ) {
    }

    /**
     * @throws ConfigurationInvalid the text is no such address; the message does not quote it
     */
    public static function parse(#[\SensitiveParameter] string $text): self
    {
        $pattern = '~^(?<scheme>redis|rediss|tcp|tls|unix)://(?:(?:(?<user>[^:@/]*):)?(?<password>[^@/]*)@)?'
            . '(?<host>\[[0-9a-f:.]+\]|[^:/?\#\[\]@]*)(?::(?<port>\d{1,5}))?(?<path>/[^?\#]*)?'
            . '(?:\?(?<query>[^\#]*))?$~Di';
        if (!preg_match($pattern, trim($text), $found)) {
            throw new ConfigurationInvalid(
                'The Redis DSN is not like redis://user:password@host:6379/0 (characters such as @ and / in a '
                . 'password are written %40 and %2F).'
            );
        }
        parse_str($found['query'] ?? '', $query);
        $scheme = strtr(strtolower($found['scheme']), ['tcp' => 'redis', 'tls' => 'rediss']);
        $socket = 'unix' === $scheme;
        $path = rawurldecode($found['path'] ?? '');
        $database = $socket ? (string) ($query['db'] ?? $query['database'] ?? '0') : trim($path, '/');
        $database = '' === $database ? (string) ($query['db'] ?? $query['database'] ?? '0') : $database;
        $port = '' === ($found['port'] ?? '') ? 6379 : (int) $found['port'];
        if (!ctype_digit($database) || $port < 1 || $port > 65535 || ($socket ? '' === $path : '' === $found['host'])) {
            throw new ConfigurationInvalid('The Redis DSN names no host, no port or no database that can be.');
        }

        return new self(
            $scheme,
            rawurldecode(trim($found['host'], '[]')),
            $port,
            $socket ? $path : '',
            rawurldecode($found['user'] ?? ''),
            rawurldecode($found['password'] ?? ''),
            (int) $database
        );
    }

    /**
     * The address without user and password, for logs and errors.
     */
    public function __toString(): string
    {
        if ('unix' === $this->scheme) {
            return "unix://$this->path";
        }
        $host = str_contains($this->host, ':') ? "[$this->host]" : $this->host;

        return "$this->scheme://$host:$this->port/$this->database";
    }

    /**
     * @return array<string, string>
     */
    public function __debugInfo(): array
    {
        return ['address' => (string) $this];
    }
}
