<?php

declare(strict_types=1);

namespace App\EventListener;

use App\Demo\LastMessageStore;
use Snoke\WsBundle\Event\WebsocketMessageReceivedEvent;
use Symfony\Component\EventDispatcher\Attribute\AsEventListener;

/**
 * Keeps what a client said last, for `GET /api/ws/last-message`.
 */
#[AsEventListener(priority: 10)]
final class LastMessageListener
{
    public function __construct(private readonly LastMessageStore $store)
    {
    }

    public function __invoke(WebsocketMessageReceivedEvent $event): void
    {
        $this->store->put(json_encode([
            'connection_id' => $event->getConnectionId(),
            'user_id' => $event->getUserId(),
            'subjects' => $event->getSubjects(),
            'connected_at' => $event->getConnectedAt(),
            // The text, not the array: in that `{}` and `[]` look alike.
            'message' => self::object($event->getRaw()) ?? $event->getMessage(),
            'raw' => $event->getRaw(),
            'received_at' => time(),
        ], \JSON_THROW_ON_ERROR | \JSON_PRESERVE_ZERO_FRACTION | \JSON_UNESCAPED_SLASHES, 2048));
    }

    private static function object(string $raw): ?object
    {
        $message = json_decode($raw, false, 2048, \JSON_BIGINT_AS_STRING);

        return \is_object($message) ? $message : null;
    }
}
