<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Consumer;

/**
 * What became of an entry.
 */
enum Outcome
{
    /** All listeners are through, or there is nothing to do. */
    case Done;

    /** It can never be used: a dead letter. */
    case Dead;

    /** It is time to stop, and it is not done: somebody else shall have it. */
    case Interrupted;
}
