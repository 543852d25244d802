<?php

declare(strict_types=1);

namespace App\EventListener;

use App\Demo\OnlineUsers;
use Psr\Log\LoggerInterface;
use Snoke\WsBundle\Event\WebsocketConnectionClosedEvent;
use Snoke\WsBundle\Event\WebsocketConnectionEstablishedEvent;
use Snoke\WsBundle\Event\WebsocketEvent;
use Snoke\WsBundle\Exception\PresenceFailed;
use Snoke\WsBundle\Service\WebsocketPublisher;
use Symfony\Component\EventDispatcher\Attribute\AsEventListener;

/**
 * Tells everybody who is online when somebody comes or goes: `{"type":"presence","users":["user:ID",..],"ts":seconds}`.
 */
#[AsEventListener(event: WebsocketConnectionEstablishedEvent::class)]
#[AsEventListener(event: WebsocketConnectionClosedEvent::class)]
final class PresenceDemoListener
{
    private const MOST_ROUNDS = 5;

    public function __construct(
        private readonly WebsocketPublisher $publisher,
        private readonly OnlineUsers $online,
        private readonly LoggerInterface $logger
    ) {
    }

    public function __invoke(WebsocketEvent $event): void
    {
        try {
            $users = $this->online->after($event);
            $round = 0;
            do {
                $told = $users;
                $this->publisher->sendToEverybody([
                    'type' => 'presence',
                    'users' => array_map(static fn (string $user) => "user:$user", $told),
                    'ts' => time(),
                ]);
                // Others do the same at the same time, and may have told an older list after a newer one. Whoever was
                // last finds out, because the list has changed meanwhile.
                $users = $this->online->after($event);
            } while ($users !== $told && ++$round < self::MOST_ROUNDS);
        } catch (PresenceFailed $error) {
            // The next one who comes or goes makes up for it.
            $this->logger->warning('Nobody was told who is online: {error}', ['error' => $error->getMessage()]);
        }
    }
}
