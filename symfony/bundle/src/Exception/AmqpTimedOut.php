<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Exception;

/**
 * RabbitMQ is connected and says nothing, as under a memory alarm. What was sent may still be taken.
 */
class AmqpTimedOut extends AmqpUnavailable
{
}
