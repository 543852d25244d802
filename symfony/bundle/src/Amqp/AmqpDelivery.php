<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Amqp;

/**
 * A message that the broker gave us and waits for word about.
 */
final class AmqpDelivery
{
    /**
     * @param int $tag what the channel knows it by
     */
    public function __construct(
        public readonly int $tag,
        public readonly string $body,
        public readonly string $queue,
        public readonly string $messageId = '',
        public readonly bool $redelivered = false
    ) {
    }
}
