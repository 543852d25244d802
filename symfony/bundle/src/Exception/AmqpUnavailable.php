<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Exception;

/**
 * The connection to RabbitMQ cannot be had, or broke.
 */
class AmqpUnavailable extends \RuntimeException
{
}
