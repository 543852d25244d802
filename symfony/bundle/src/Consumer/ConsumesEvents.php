<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Consumer;

use Psr\Log\LoggerInterface;

/**
 * Reads events from a broker and brings them to the listeners, each at least once.
 */
interface ConsumesEvents
{
    /**
     * Returns when it is time to stop. A broker that is away is waited for.
     */
    public function consume(Stop $stop, LoggerInterface $logger): void;
}
