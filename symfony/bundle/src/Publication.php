<?php

declare(strict_types=1);

namespace Snoke\WsBundle;

/**
 * One payload for all connections that listen to any of the subjects; each gets it once.
 */
final class Publication
{
    /**
     * @param list<mixed>  $subjects    what `WebsocketPublisher::send()` takes; whole subjects for a publisher
     * @param mixed        $payload     anything that JSON can say
     * @param string|null  $traceparent W3C trace context
     * @param list<string> $except      connection ids that do not get it, such as the sender's
     */
    public function __construct(
        public readonly array $subjects,
        public readonly mixed $payload,
        public readonly ?string $traceparent = null,
        public readonly array $except = []
    ) {
    }

    /**
     * What the gateway takes, by HTTP and from a broker alike.
     *
     * @return array<string, mixed>
     */
    public function document(): array
    {
        $document = ['subjects' => array_values($this->subjects), 'payload' => $this->payload];
        if (null !== $this->traceparent) {
            $document['traceparent'] = $this->traceparent;
        }
        if ([] !== $this->except) {
            $document['except'] = array_values($this->except);
        }

        return $document;
    }
}
