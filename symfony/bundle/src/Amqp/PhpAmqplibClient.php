<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Amqp;

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Connection\AbstractConnection;
use PhpAmqpLib\Connection\AMQPSSLConnection;
use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Exception\AMQPTimeoutException;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;
use Snoke\WsBundle\Exception\AmqpTimedOut;
use Snoke\WsBundle\Exception\AmqpUnavailable;

/**
 * RabbitMQ by php-amqplib (3.5 or later).
 */
final class PhpAmqplibClient implements AmqpClientInterface
{
    private const NOT_FOUND = 404;

    private ?AbstractConnection $connection = null;
    private ?AMQPChannel $channel = null;

    /** @var list<AmqpDelivery> */
    private array $arrived = [];

    private bool $nacked = false;
    private bool $returned = false;
    private bool $confirming = false;

    /**
     * @param int $heartbeat seconds; 0 for short-lived publishers
     */
    public function __construct(
        private readonly AmqpDsn $dsn,
        private readonly int $heartbeat = 0,
        private readonly float $connectTimeout = 3.0,
        private readonly float $confirmTimeout = 5.0
    ) {
    }

    public function ensureExchange(string $name): void
    {
        $this->ensure(
            static fn (AMQPChannel $channel) => $channel->exchange_declare($name, 'direct', true),
            static fn (AMQPChannel $channel) => $channel->exchange_declare($name, 'direct', false, true, false)
        );
    }

    public function ensureQueue(string $name, string $exchange, string $routingKey): void
    {
        $this->ensure(
            static fn (AMQPChannel $channel) => $channel->queue_declare($name, true),
            static fn (AMQPChannel $channel) => $channel->queue_declare($name, false, true, false, false)
        );
        $this->attempt(fn (AMQPChannel $channel) => $channel->queue_bind($name, $exchange, $routingKey));
    }

    public function publish(
        string $exchange,
        string $routingKey,
        string $body,
        array $headers = [],
        string $messageId = ''
    ): bool {
        $properties = ['content_type' => 'application/json', 'delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT];
        if ([] !== $headers) {
            $properties['application_headers'] = new AMQPTable($headers);
        }
        if ('' !== $messageId) {
            $properties['message_id'] = $messageId;
        }
        $this->attempt(function (AMQPChannel $channel) use ($exchange, $routingKey, $body, $properties): void {
            if (!$this->confirming) {
                $channel->confirm_select();
                $channel->set_nack_handler(function (): void {
                    $this->nacked = true;
                });
                $channel->set_return_listener(function (): void {
                    $this->returned = true;
                });
                $this->confirming = true;
            }
            $this->nacked = false;
            $this->returned = false;
            $channel->basic_publish(new AMQPMessage($body, $properties), $exchange, $routingKey, true);
            $channel->wait_for_pending_acks_returns($this->confirmTimeout);
        });
        if ($this->nacked) {
            throw new AmqpUnavailable("RabbitMQ at $this->dsn did not take a message for the exchange $exchange");
        }

        return !$this->returned;
    }

    public function consume(array $queues, int $prefetch): void
    {
        $this->attempt(function (AMQPChannel $channel) use ($queues, $prefetch): void {
            $channel->basic_qos(0, $prefetch, false);
            foreach ($queues as $queue) {
                $channel->basic_consume(
                    $queue,
                    '',
                    false,
                    false,
                    false,
                    false,
                    function (AMQPMessage $message) use ($queue): void {
                        $this->arrived[] = new AmqpDelivery(
                            (int) $message->getDeliveryTag(),
                            $message->getBody(),
                            $queue,
                            $message->has('message_id') ? (string) $message->get('message_id') : '',
                            (bool) $message->isRedelivered()
                        );
                    }
                );
            }
        });
    }

    public function next(float $seconds): ?AmqpDelivery
    {
        if ([] === $this->arrived) {
            $this->attempt(function (AMQPChannel $channel) use ($seconds): void {
                if ($this->heartbeat > 0) {
                    $channel->getConnection()?->checkHeartBeat();
                }
                try {
                    $channel->wait(null, false, $seconds);
                } catch (AMQPTimeoutException) {
                    // Nothing came.
                }
            });
            if ([] === $this->arrived && null !== $this->channel && !$this->channel->is_consuming()) {
                $this->close();
                throw new AmqpUnavailable("RabbitMQ at $this->dsn ended the consumer; was the queue deleted?");
            }
        }

        return array_shift($this->arrived);
    }

    public function acknowledge(AmqpDelivery $delivery): void
    {
        $this->attempt(static fn (AMQPChannel $channel) => $channel->basic_ack($delivery->tag));
    }

    public function close(): void
    {
        $connection = $this->connection;
        $this->connection = $this->channel = null;
        $this->arrived = [];
        $this->confirming = false;
        try {
            $connection?->close();
        } catch (\Throwable) {
            // It broke before, and is gone now.
        }
    }

    /**
     * @param \Closure(AMQPChannel):mixed $passive
     * @param \Closure(AMQPChannel):mixed $active
     */
    private function ensure(\Closure $passive, \Closure $active): void
    {
        try {
            $this->attempt($passive);
        } catch (AmqpUnavailable $unavailable) {
            $previous = $unavailable->getPrevious();
            if (!$previous instanceof AMQPProtocolChannelException || self::NOT_FOUND !== $previous->getCode()) {
                throw $unavailable;
            }
            // The refusal took the channel with it; the next call opens another.
            $this->attempt($active);
        }
    }

    /**
     * @param \Closure(AMQPChannel):mixed $operation
     */
    private function attempt(\Closure $operation): void
    {
        try {
            $this->channel ??= $this->open();
            $operation($this->channel);
        } catch (\Throwable $error) {
            // php-amqplib throws its own, PHP's and, from 3.6 on, other exceptions for a broken connection.
            $this->close();
            $message = "RabbitMQ at $this->dsn: {$error->getMessage()}";
            throw $error instanceof AMQPTimeoutException
                ? new AmqpTimedOut($message, 0, $error)
                : new AmqpUnavailable($message, 0, $error);
        }
    }

    private function open(): AMQPChannel
    {
        $dsn = $this->dsn;
        // The library wants reads to wait for two heartbeats at least.
        $timeout = max($this->confirmTimeout, 2.0 * $this->heartbeat + 1);
        if ($dsn->tls) {
            $this->connection = new AMQPSSLConnection($dsn->host, $dsn->port, $dsn->user, $dsn->password, $dsn->vhost, [
                'verify_peer' => true,
                'verify_peer_name' => true,
            ], [
                'connection_timeout' => $this->connectTimeout,
                'read_write_timeout' => $timeout,
                'keepalive' => true,
                'heartbeat' => $this->heartbeat,
            ]);
        } else {
            $host = str_contains($dsn->host, ':') ? "[$dsn->host]" : $dsn->host;
            $this->connection = new AMQPStreamConnection(
                $host,
                $dsn->port,
                $dsn->user,
                $dsn->password,
                $dsn->vhost,
                connection_timeout: $this->connectTimeout,
                read_write_timeout: $timeout,
                keepalive: true,
                heartbeat: $this->heartbeat
            );
        }

        return $this->connection->channel();
    }
}
