<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Amqp;

use Snoke\WsBundle\Exception\AmqpUnavailable;

/**
 * A connection to RabbitMQ with one channel, opened at the first call and again at the next one after it broke.
 */
interface AmqpClientInterface
{
    /**
     * Makes sure that there is a direct, durable exchange of this name. What is there stays as it is.
     *
     * @throws AmqpUnavailable
     */
    public function ensureExchange(string $name): void;

    /**
     * Makes sure that there is a queue of this name, durable and without arguments if it has to be made, and that it is
     * bound. What is there stays as it is, with whatever arguments.
     *
     * @throws AmqpUnavailable
     */
    public function ensureQueue(string $name, string $exchange, string $routingKey): void;

    /**
     * Publishes a persistent message and waits until the broker has confirmed it.
     *
     * @param array<string, string> $headers
     *
     * @return bool whether it came into a queue
     *
     * @throws AmqpUnavailable no connection, or it broke before the confirmation: it may have been published;
     *                         AmqpTimedOut if the broker is connected and silent
     */
    public function publish(
        string $exchange,
        string $routingKey,
        string $body,
        array $headers = [],
        string $messageId = ''
    ): bool;

    /**
     * Has messages of these queues delivered; `next()` brings them.
     *
     * @param list<string> $queues
     * @param int          $prefetch how many may be under way without an acknowledgement
     *
     * @throws AmqpUnavailable
     */
    public function consume(array $queues, int $prefetch): void;

    /**
     * The next message, or null if none came in time.
     *
     * @throws AmqpUnavailable it broke, or the broker ended the consumer: what was not acknowledged comes again
     */
    public function next(float $seconds): ?AmqpDelivery;

    /**
     * @throws AmqpUnavailable
     */
    public function acknowledge(AmqpDelivery $delivery): void;

    /**
     * Ends the connection; what was not acknowledged goes back to its queue. A second time is no error.
     */
    public function close(): void;
}
