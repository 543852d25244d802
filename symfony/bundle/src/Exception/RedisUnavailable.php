<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Exception;

/**
 * Redis does not answer, or is not ready for use yet. The command may or may not have been executed.
 */
class RedisUnavailable extends \RuntimeException
{
}
