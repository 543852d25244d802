<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Consumer;

use Psr\Log\LoggerInterface;
use Snoke\WsBundle\Amqp\AmqpClientInterface;
use Snoke\WsBundle\Amqp\AmqpDelivery;
use Snoke\WsBundle\Exception\AmqpUnavailable;
use Snoke\WsBundle\Settings\ConsumerSettings;

/**
 * Reads events from RabbitMQ queues. Consumers of one queue share it; what one had in hand when it died comes again.
 */
final class RabbitMqConsumer implements ConsumesEvents
{
    private const WAIT_SECONDS = 0.2;
    private const LONGEST_WAIT = 10.0;

    private bool $ready = false;

    /** @var array<string, true> message ids that are done, but the connection broke before RabbitMQ knew */
    private array $unsettled = [];

    public function __construct(
        private readonly AmqpClientInterface $amqp,
        private readonly ConsumerSettings $settings,
        private readonly EventDelivery $delivery
    ) {
    }

    public function consume(Stop $stop, LoggerInterface $logger): void
    {
        $failures = 0;
        while (!$stop->requested()) {
            try {
                if (!$this->ready) {
                    $this->prepare($logger);
                    $this->ready = true;
                }
                $delivery = $this->amqp->next(self::WAIT_SECONDS);
                $failures = 0;
                if (null !== $delivery && !$stop->requested()) {
                    $this->handle($delivery, $stop, $logger);
                }
            } catch (AmqpUnavailable $error) {
                $this->ready = false;
                $wait = min(0.5 * 2 ** $failures++, self::LONGEST_WAIT);
                $logger->error('RabbitMQ cannot be read, next try in {seconds} s: {error}', [
                    'seconds' => $wait,
                    'error' => $error->getMessage(),
                ]);
                $stop->sleep($wait);
            }
        }
        // What was fetched and not handled goes back to its queue with this.
        $this->amqp->close();
    }

    private function prepare(LoggerInterface $logger): void
    {
        $settings = $this->settings;
        $queues = [
            [$settings->eventsQueue, $settings->eventsExchange],
            [$settings->inboxQueue, $settings->inboxExchange],
            [$settings->deadLetterExchange, $settings->deadLetterExchange],
        ];
        foreach ($queues as [$queue, $exchange]) {
            $this->amqp->ensureExchange($exchange);
            $this->amqp->ensureQueue($queue, $exchange, $exchange);
        }
        $read = array_values(array_unique([$settings->eventsQueue, $settings->inboxQueue]));
        $this->amqp->consume($read, $settings->batch);
        $logger->info('Reading {queues}.', ['queues' => implode(', ', $read)]);
    }

    private function handle(AmqpDelivery $delivery, Stop $stop, LoggerInterface $logger): void
    {
        if ($delivery->redelivered && isset($this->unsettled[$delivery->messageId])) {
            $this->amqp->acknowledge($delivery);
            unset($this->unsettled[$delivery->messageId]);

            return;
        }
        $where = ['queue' => $delivery->queue];
        $result = $this->delivery->deliver($delivery->body, $where, $stop, $logger);
        if (Outcome::Interrupted === $result->outcome) {
            return;
        }
        if (Outcome::Dead === $result->outcome) {
            $name = $this->settings->deadLetterExchange;
            $headers = ['reason' => $result->reason, 'queue' => $delivery->queue];
            if (!$this->amqp->publish($name, $name, $delivery->body, $headers, $delivery->messageId)) {
                throw new AmqpUnavailable("a dead letter found no queue in $name, so it stays where it was");
            }
            $logger->error('A message became a dead letter.', $where + ['reason' => $result->reason]);
        }
        $stop->count();
        try {
            $this->amqp->acknowledge($delivery);
        } catch (AmqpUnavailable $error) {
            if ('' !== $delivery->messageId) {
                $this->unsettled[$delivery->messageId] = true;
            }
            throw $error;
        }
    }
}
