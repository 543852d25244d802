<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Exception;

/**
 * Presence could not be read.
 */
class PresenceFailed extends \RuntimeException
{
}
