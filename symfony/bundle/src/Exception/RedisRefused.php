<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Exception;

/**
 * Redis understood and said no.
 */
class RedisRefused extends \RuntimeException
{
}
