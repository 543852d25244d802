<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Event;

/**
 * A connection is over (`disconnected`).
 */
class WebsocketConnectionClosedEvent extends WebsocketEvent
{
    /**
     * @param list<string> $subjects
     */
    public function __construct(
        string $connectionId,
        string $userId,
        array $subjects,
        int $connectedAt,
        private readonly ?int $code = null,
        private readonly ?string $reason = null,
        private readonly ?string $cause = null,
        ?EventDetails $details = null
    ) {
        parent::__construct($connectionId, $userId, $subjects, $connectedAt, $details);
    }

    /**
     * Close code; 1005 for a close without one, 1006 for a cut connection.
     */
    public function getCode(): ?int
    {
        return $this->code;
    }

    public function getReason(): ?string
    {
        return $this->reason;
    }

    /**
     * Who or what ended it: `client`, `server`, `kicked`, `token_expired`, `ping_timeout`, …; newer gateways may know
     * more.
     */
    public function getCause(): ?string
    {
        return $this->cause;
    }
}
