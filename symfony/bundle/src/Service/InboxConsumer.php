<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

use Psr\EventDispatcher\EventDispatcherInterface;
use Psr\Log\LoggerInterface;
use Snoke\WsBundle\Amqp\AmqpConnections;
use Snoke\WsBundle\Consumer\ConsumesEvents;
use Snoke\WsBundle\Consumer\EventDelivery;
use Snoke\WsBundle\Consumer\RabbitMqConsumer;
use Snoke\WsBundle\Consumer\RedisStreamConsumer;
use Snoke\WsBundle\Consumer\Stop;
use Snoke\WsBundle\Event\EventReader;
use Snoke\WsBundle\Exception\ConfigurationInvalid;
use Snoke\WsBundle\Redis\RedisConnections;
use Snoke\WsBundle\Settings\Settings;

/**
 * Reads events from the broker that the settings name.
 */
final class InboxConsumer
{
    private const HEARTBEAT = 60;

    /**
     * @param object|null $resetter Symfony's `services_resetter`
     */
    public function __construct(
        private readonly Settings $settings,
        private readonly RedisConnections $redis,
        private readonly AmqpConnections $amqp,
        private readonly EventReader $reader,
        private readonly EventDispatcherInterface $dispatcher,
        private readonly TracingService $tracing,
        private readonly ?object $resetter = null
    ) {
    }

    /**
     * Returns when it is time to stop.
     *
     * @param string $broker `redis`, `rabbitmq`, or '' for what the settings say
     *
     * @throws ConfigurationInvalid
     */
    public function consume(string $broker, Stop $stop, LoggerInterface $logger): void
    {
        $broker = '' === $broker ? $this->settings->consumerBroker() : $broker;
        $consumers = [
            'redis' => $this->redisConsumer(...),
            'redis_stream' => $this->redisConsumer(...),
            'rabbitmq' => $this->rabbitMqConsumer(...),
        ];
        if (!isset($consumers[$broker])) {
            throw new ConfigurationInvalid("There is no broker \"$broker\"; there are: redis, rabbitmq.");
        }
        $consumers[$broker]()->consume($stop, $logger);
    }

    private function redisConsumer(): ConsumesEvents
    {
        $settings = $this->settings->consumer();

        return new RedisStreamConsumer(
            $this->redis->to(($settings->redisDsn)()),
            $settings,
            $this->delivery(),
            !$this->settings->consumerIsNamed()
        );
    }

    private function rabbitMqConsumer(): ConsumesEvents
    {
        $settings = $this->settings->consumer();

        return new RabbitMqConsumer(
            $this->amqp->to(($settings->rabbitmqDsn)(), self::HEARTBEAT),
            $settings,
            $this->delivery()
        );
    }

    private function delivery(): EventDelivery
    {
        $settings = $this->settings->consumer();
        $resetter = $this->resetter;

        return new EventDelivery(
            $this->reader,
            $this->dispatcher,
            $this->tracing,
            $settings->attempts,
            $settings->retrySeconds,
            null === $resetter ? null : static fn () => $resetter->reset()
        );
    }
}
