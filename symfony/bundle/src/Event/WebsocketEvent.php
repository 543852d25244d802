<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Event;

use Symfony\Contracts\EventDispatcher\Event;

/**
 * Something happened on a connection.
 */
abstract class WebsocketEvent extends Event
{
    private readonly EventDetails $details;

    /**
     * @param list<string> $subjects what the connection listens to, `user:<id>` first
     */
    public function __construct(
        private readonly string $connectionId,
        private readonly string $userId,
        private readonly array $subjects,
        private readonly int $connectedAt,
        ?EventDetails $details = null
    ) {
        $this->details = $details ?? new EventDetails();
    }

    public function getConnectionId(): string
    {
        return $this->connectionId;
    }

    public function getUserId(): string
    {
        return $this->userId;
    }

    /**
     * @return list<string>
     */
    public function getSubjects(): array
    {
        return $this->subjects;
    }

    /**
     * Unix seconds.
     */
    public function getConnectedAt(): int
    {
        return $this->connectedAt;
    }

    /**
     * Unique, and the same in every repetition: what you keep to handle an event only once.
     */
    public function getEventId(): ?string
    {
        return $this->details->eventId;
    }

    /**
     * Unix milliseconds.
     */
    public function getOccurredAtMs(): ?int
    {
        return $this->details->occurredAtMs;
    }

    public function getNodeId(): ?string
    {
        return $this->details->nodeId;
    }

    /**
     * 0 for a connection's first event, then counted without gaps: a gap is a loss. Null if its node was lost.
     */
    public function getSeq(): ?int
    {
        return $this->details->seq;
    }

    /**
     * W3C trace context.
     */
    public function getTraceparent(): ?string
    {
        return $this->details->traceparent;
    }

    public function getClientIp(): ?string
    {
        return $this->details->clientIp;
    }

    /**
     * Claims of the token that the gateway was told to forward.
     *
     * @return array<string, mixed>|null
     */
    public function getClaims(): ?array
    {
        return $this->details->claims;
    }

    /**
     * The whole event as it came, with fields that this version does not know.
     *
     * @return array<string, mixed>
     */
    public function getDocument(): array
    {
        return $this->details->document;
    }
}
