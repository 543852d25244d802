<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

use Snoke\WsBundle\Contract\GatewayPublisherInterface;
use Snoke\WsBundle\Exception\PublishFailed;
use Snoke\WsBundle\Publication;

/**
 * Publishes over the gateway's HTTP API.
 */
final class HttpPublisher implements GatewayPublisherInterface
{
    private const MAX_BATCH = 1_000;

    public function __construct(
        private readonly GatewayApi $api,
        private readonly TracingService $tracing = new TracingService()
    ) {
    }

    public function publish(array $subjectKeys, mixed $payload): void
    {
        $this->publishAll([new Publication($subjectKeys, $payload, $this->tracing->currentTraceparent())]);
    }

    public function publishAll(array $publications): array
    {
        $sent = [];
        foreach (array_chunk($publications, self::MAX_BATCH) as $chunk) {
            $documents = array_map(static fn (Publication $publication) => $publication->document(), $chunk);
            $sent = 1 === \count($documents)
                ? [...$sent, $this->number($this->post($this->api->settings->publishPath, $documents[0]), 'sent')]
                : [...$sent, ...$this->postBatch($documents)];
        }

        return $sent;
    }

    public function disconnect(
        ?string $userId = null,
        ?string $connectionId = null,
        int $code = 4403,
        string $reason = ''
    ): ?int {
        $document = Disconnection::document($userId, $connectionId, $code, $reason);

        return $this->number($this->api->post($this->siblingPath('disconnect'), $document), 'disconnected');
    }

    /**
     * @param list<array<string, mixed>> $documents
     *
     * @return list<int>
     */
    private function postBatch(array $documents): array
    {
        $answer = $this->post($this->api->settings->publishPath . '/batch', ['publications' => $documents]);
        $sent = $answer['sent'] ?? null;
        if (!\is_array($sent) || \count($sent) !== \count($documents)) {
            throw new PublishFailed('The gateway took the batch, but its answer does not say how many it reached.');
        }

        return array_map(static fn ($number) => (int) $number, array_values($sent));
    }

    /**
     * @param array<string, mixed> $document
     *
     * @return array<array-key, mixed>
     */
    private function post(string $path, array $document): array
    {
        // Older gateways look for the key in the body only.
        $key = $this->api->settings->apiKey;

        return $this->api->post($path, '' === $key ? $document : $document + ['api_key' => $key]);
    }

    /**
     * @param array<array-key, mixed> $answer
     */
    private function number(array $answer, string $name): int
    {
        return \is_int($answer[$name] ?? null)
            ? $answer[$name]
            : throw new PublishFailed("What answered is not the gateway: there is no number $name.");
    }

    /**
     * `/internal/disconnect` stands beside `/internal/publish`, wherever a proxy may have put that.
     */
    private function siblingPath(string $name): string
    {
        return substr($this->api->settings->publishPath, 0, (int) strrpos($this->api->settings->publishPath, '/'))
            . "/$name";
    }
}
