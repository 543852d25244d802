<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Amqp;

use Snoke\WsBundle\Exception\ConfigurationInvalid;

/**
 * Where RabbitMQ is: `amqp://[user[:password]@]host[:port][/vhost]`, `amqps://…` for TLS. Every part is percent-decoded
 * once. `amqp://host`, `amqp://host/` and `amqp://host/%2F` all mean the vhost `/`.
 */
final class AmqpDsn
{
    private function __construct(
        public readonly bool $tls,
        public readonly string $host,
        public readonly int $port,
        public readonly string $vhost,
        public readonly string $user,
        #[\SensitiveParameter]
        public readonly string $password
    ) {
    }

    /**
     * @throws ConfigurationInvalid the text is no such address; the message does not quote it
     */
    public static function parse(#[\SensitiveParameter] string $text): self
    {
        $pattern = '~^(?<scheme>amqps?)://(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?'
            . '(?<host>\[[0-9a-f:.]+\]|[^:/?\#\[\]@]+)(?::(?<port>\d{1,5}))?(?:/(?<vhost>[^/?\#]*))?(?:\?[^\#]*)?$~Di';
        if (!preg_match($pattern, trim($text), $found)) {
            throw new ConfigurationInvalid(
                'The RabbitMQ DSN is not like amqp://user:password@host:5672/vhost (the vhost / is written %2F or '
                . 'left out; characters such as @ and / in a password are written %40 and %2F).'
            );
        }
        $tls = 'amqps' === strtolower($found['scheme']);
        $port = '' === ($found['port'] ?? '') ? ($tls ? 5671 : 5672) : (int) $found['port'];
        if ($port < 1 || $port > 65535) {
            throw new ConfigurationInvalid('The RabbitMQ DSN names no port that can be.');
        }
        $vhost = rawurldecode($found['vhost'] ?? '');
        $user = rawurldecode($found['user'] ?? '');

        return new self(
            $tls,
            rawurldecode(trim($found['host'], '[]')),
            $port,
            '' === $vhost ? '/' : $vhost,
            '' === $user ? 'guest' : $user,
            '' === $user ? 'guest' : rawurldecode($found['password'] ?? '')
        );
    }

    /**
     * The address without user and password, for logs and errors.
     */
    public function __toString(): string
    {
        $host = str_contains($this->host, ':') ? "[$this->host]" : $this->host;

        return ($this->tls ? 'amqps' : 'amqp') . "://$host:$this->port/" . rawurlencode($this->vhost);
    }

    /**
     * @return array<string, string>
     */
    public function __debugInfo(): array
    {
        return ['address' => (string) $this];
    }
}
