<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Exception;

/**
 * It is an event, but of a type that this version does not know. There is nothing to do.
 */
class EventUnknown extends EventInvalid
{
}
