<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Consumer;

/**
 * An outcome, and with a dead letter the reason.
 */
final class Result
{
    /**
     * @param string $reason `parse_error`, `listener_failed` or `abandoned`
     */
    public function __construct(public readonly Outcome $outcome, public readonly string $reason = '')
    {
    }
}
