<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

use Snoke\WsBundle\Contract\GatewayPublisherInterface;
use Snoke\WsBundle\Exception\PublishFailed;
use Snoke\WsBundle\Exception\RedisRefused;
use Snoke\WsBundle\Exception\RedisUnavailable;
use Snoke\WsBundle\Json;
use Snoke\WsBundle\Publication;
use Snoke\WsBundle\Redis\RedisClientInterface;

/**
 * Publishes by a Redis stream, which every gateway reads.
 */
final class RedisStreamPublisher implements GatewayPublisherInterface
{
    private bool $worked = false;

    /**
     * @param int $maxLength about how many entries the stream keeps; 0 leaves that to the gateway
     */
    public function __construct(
        private readonly RedisClientInterface $redis,
        private readonly string $stream = 'ws.outbox',
        private readonly int $maxLength = 0,
        private readonly TracingService $tracing = new TracingService()
    ) {
    }

    public function publish(array $subjectKeys, mixed $payload): void
    {
        $this->publishAll([new Publication($subjectKeys, $payload, $this->tracing->currentTraceparent())]);
    }

    public function publishAll(array $publications): array
    {
        // All are encoded before the first one goes: what is no JSON shall not be found halfway.
        $texts = array_map(static fn (Publication $one) => Json::encode($one->document()), $publications);
        foreach ($texts as $text) {
            $this->append($text);
        }

        return array_fill(0, \count($publications), null);
    }

    public function disconnect(
        ?string $userId = null,
        ?string $connectionId = null,
        int $code = 4403,
        string $reason = ''
    ): ?int {
        $this->append(Json::encode(
            ['op' => 'disconnect'] + Disconnection::document($userId, $connectionId, $code, $reason)
        ));

        return null;
    }

    private function append(string $text): void
    {
        $trimming = $this->maxLength > 0 ? ['MAXLEN', '~', $this->maxLength] : [];
        try {
            $this->redis->call('XADD', $this->stream, ...[...$trimming, '*', 'data', $text]);
        } catch (RedisUnavailable $error) {
            if (!$this->worked) {
                throw new PublishFailed("The publication was not taken: {$error->getMessage()}", 0, $error);
            }
            // A kept connection that has been closed meanwhile; a new one tells whether Redis is there.
            $this->worked = false;
            $this->append($text);
        } catch (RedisRefused $error) {
            throw new PublishFailed("Redis refused the publication: {$error->getMessage()}", 0, $error);
        }
        $this->worked = true;
    }
}
