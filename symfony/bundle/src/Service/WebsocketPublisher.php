<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

use Snoke\WsBundle\Contract\GatewayPublisherInterface;
use Snoke\WsBundle\Contract\PublisherInterface;
use Snoke\WsBundle\Contract\SubjectKeyResolverInterface;
use Snoke\WsBundle\Exception\PublishFailed;
use Snoke\WsBundle\Publication;
use Snoke\WsBundle\Subject\Subject;

/**
 * Sends to clients, and closes their connections. This is what an application has injected.
 */
class WebsocketPublisher
{
    public function __construct(
        private PublisherInterface $publisher,
        private SubjectKeyResolverInterface $resolver,
        private string $userPrefix = 'user:',
        private ?TracingService $tracing = null
    ) {
    }

    /**
     * Sends one payload to every connection that listens to one of the subjects; each gets it once.
     *
     * Clients receive `{"type":"event","payload":<payload>}`.
     *
     * @param array<mixed> $subjects    objects with `subjectKey()`; texts with a known prefix, such as `channel:news`;
     *                                  every other text or integer is a user's id. See `Subject` for ids from outside
     * @param mixed        $payload     anything that JSON can say
     * @param list<string> $except      connection ids that do not get it, such as the sender's
     * @param string|null  $traceparent W3C trace context; by default that of the event in hand
     *
     * @return int|null to how many connections it was queued; null where a broker is between, because then nobody knows
     *
     * @throws \InvalidArgumentException a subject names nobody, or the payload is no JSON
     * @throws PublishFailed             nobody took it, or nobody said so
     */
    public function send(array $subjects, mixed $payload, array $except = [], ?string $traceparent = null): ?int
    {
        return $this->sendAll([new Publication(array_values($subjects), $payload, $traceparent, $except)])[0];
    }

    /**
     * Sends to one user, whatever the id looks like.
     */
    public function sendToUser(string|int $userId, mixed $payload): ?int
    {
        return $this->send([Subject::user($userId, $this->userPrefix)], $payload);
    }

    public function sendToChannel(string $channel, mixed $payload): ?int
    {
        return $this->send([Subject::channel($channel)], $payload);
    }

    public function sendToEverybody(mixed $payload): ?int
    {
        return $this->send([Subject::everybody()], $payload);
    }

    /**
     * Sends many publications in their order; over HTTP up to 1,000 are one request, taken whole or not at all.
     *
     * @param list<Publication> $publications
     *
     * @return list<int|null> for each what `send()` returns
     *
     * @throws \InvalidArgumentException
     * @throws PublishFailed
     */
    public function sendAll(array $publications): array
    {
        $resolved = array_map($this->resolved(...), array_values($publications));
        if ($this->publisher instanceof GatewayPublisherInterface) {
            return $this->publisher->publishAll($resolved);
        }
        foreach ($resolved as $publication) {
            $this->publisher->publish($publication->subjects, $publication->payload);
        }

        return array_fill(0, \count($resolved), null);
    }

    /**
     * Closes the connections that fit every given filter.
     *
     * @param int $code 4000 to 4999; 4403 tells the client to stay away
     *
     * @return int|null how many were told to close; null where a broker is between
     *
     * @throws \InvalidArgumentException no filter is given, or the code is out of range
     * @throws PublishFailed
     */
    public function disconnect(
        ?string $userId = null,
        ?string $connectionId = null,
        int $code = 4403,
        string $reason = ''
    ): ?int {
        if (!$this->publisher instanceof GatewayPublisherInterface) {
            throw new PublishFailed(sprintf('%s cannot disconnect anybody.', get_debug_type($this->publisher)));
        }

        return $this->publisher->disconnect($userId, $connectionId, $code, $reason);
    }

    private function resolved(Publication $publication): Publication
    {
        if ([] === $publication->subjects) {
            throw new \InvalidArgumentException('A publication needs at least one subject.');
        }

        return new Publication(
            array_values(array_unique(array_map($this->resolver->resolve(...), $publication->subjects))),
            $publication->payload,
            $publication->traceparent ?? $this->tracing?->currentTraceparent(),
            $publication->except
        );
    }
}
