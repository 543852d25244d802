<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Event;

/**
 * What an event says beside the fields that every gateway sends. What the gateway left out is null.
 */
final class EventDetails
{
    /**
     * @param string|null               $eventId      the same in every repetition and on every way
     * @param int|null                  $occurredAtMs Unix milliseconds
     * @param string|null               $nodeId       which gateway
     * @param int|null                  $seq          0 for `connected`, then 1, 2, 3 … per connection; a gap is a loss
     * @param string|null               $traceparent  W3C trace context
     * @param string|null               $clientIp     only with `EVENTS_CLIENT_IP=1`
     * @param array<string, mixed>|null $claims       only with `JWT_FORWARD_CLAIMS`
     * @param array<string, mixed>      $document     the whole event, with fields that this version does not know
     */
    public function __construct(
        public readonly ?string $eventId = null,
        public readonly ?int $occurredAtMs = null,
        public readonly ?string $nodeId = null,
        public readonly ?int $seq = null,
        public readonly ?string $traceparent = null,
        public readonly ?string $clientIp = null,
        public readonly ?array $claims = null,
        public readonly array $document = []
    ) {
    }
}
