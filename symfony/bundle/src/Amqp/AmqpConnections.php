<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Amqp;

use Snoke\WsBundle\Exception\ConfigurationInvalid;

/**
 * Makes clients with php-amqplib.
 */
final class AmqpConnections
{
    /**
     * @param int $heartbeat seconds; 0 for those who only publish
     */
    public function to(#[\SensitiveParameter] string $dsn, int $heartbeat = 0): AmqpClientInterface
    {
        if (!class_exists(\PhpAmqpLib\Connection\AMQPStreamConnection::class)) {
            throw new ConfigurationInvalid('RabbitMQ needs composer require php-amqplib/php-amqplib.');
        }

        return new PhpAmqplibClient(AmqpDsn::parse($dsn), $heartbeat);
    }
}
