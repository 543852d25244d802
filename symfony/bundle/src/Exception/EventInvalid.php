<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Exception;

/**
 * A document is no event.
 */
class EventInvalid extends \UnexpectedValueException
{
}
