<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

use Psr\Log\LoggerInterface;
use Psr\Log\NullLogger;
use Snoke\WsBundle\Amqp\AmqpClientInterface;
use Snoke\WsBundle\Contract\GatewayPublisherInterface;
use Snoke\WsBundle\Exception\AmqpTimedOut;
use Snoke\WsBundle\Exception\AmqpUnavailable;
use Snoke\WsBundle\Exception\PublishFailed;
use Snoke\WsBundle\Json;
use Snoke\WsBundle\Publication;

/**
 * Publishes by a RabbitMQ exchange, to which every gateway binds a queue of its own.
 */
final class RabbitMqPublisher implements GatewayPublisherInterface
{
    /** Whether the connection that is kept has carried something, so that the exchange is known to be there. */
    private bool $worked = false;

    public function __construct(
        private readonly AmqpClientInterface $amqp,
        private readonly string $exchange = 'ws.outbox',
        private readonly string $routingKey = 'ws.outbox',
        private readonly TracingService $tracing = new TracingService(),
        private readonly LoggerInterface $logger = new NullLogger()
    ) {
    }

    public function publish(array $subjectKeys, mixed $payload): void
    {
        $this->publishAll([new Publication($subjectKeys, $payload, $this->tracing->currentTraceparent())]);
    }

    public function publishAll(array $publications): array
    {
        $texts = array_map(static fn (Publication $one) => Json::encode($one->document()), $publications);
        foreach ($texts as $text) {
            $this->send($text);
        }

        return array_fill(0, \count($publications), null);
    }

    public function disconnect(
        ?string $userId = null,
        ?string $connectionId = null,
        int $code = 4403,
        string $reason = ''
    ): ?int {
        $this->send(Json::encode(
            ['op' => 'disconnect'] + Disconnection::document($userId, $connectionId, $code, $reason)
        ));

        return null;
    }

    private function send(string $text): void
    {
        try {
            if (!$this->worked) {
                $this->amqp->ensureExchange($this->exchange);
            }
            $routed = $this->amqp->publish($this->exchange, $this->routingKey, $text);
        } catch (AmqpUnavailable $error) {
            // A broker that is silent may still take what it has; a second one would arrive as well.
            if (!$this->worked || $error instanceof AmqpTimedOut) {
                throw new PublishFailed("The publication was not taken: {$error->getMessage()}", 0, $error);
            }
            // A kept connection that has been closed meanwhile; a new one tells whether RabbitMQ is there.
            $this->worked = false;
            $this->send($text);

            return;
        }
        $this->worked = true;
        if (!$routed) {
            $this->logger->warning('A publication reached no queue of {exchange}: no gateway is connected.', [
                'exchange' => $this->exchange,
            ]);
        }
    }
}
