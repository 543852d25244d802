<?php

declare(strict_types=1);

namespace Snoke\WsBundle\EventListener;

use Psr\Log\LoggerInterface;
use Psr\Log\NullLogger;
use Snoke\WsBundle\Contract\PresenceWriterInterface;
use Snoke\WsBundle\Event\WebsocketConnectionClosedEvent;
use Snoke\WsBundle\Event\WebsocketConnectionEstablishedEvent;
use Snoke\WsBundle\Event\WebsocketEvent;
use Snoke\WsBundle\Event\WebsocketMessageReceivedEvent;
use Snoke\WsBundle\Exception\RedisRefused;
use Snoke\WsBundle\Exception\RedisUnavailable;
use Symfony\Component\EventDispatcher\EventSubscriberInterface;

/**
 * Keeps presence from the events.
 */
final class PresenceWriterListener implements EventSubscriberInterface
{
    public function __construct(
        private readonly PresenceWriterInterface $writer,
        private readonly bool $refreshOnMessage = true,
        private readonly LoggerInterface $logger = new NullLogger()
    ) {
    }

    public static function getSubscribedEvents(): array
    {
        // Before the application's listeners: they find presence as the event left it.
        return [
            WebsocketConnectionEstablishedEvent::class => ['write', 64],
            WebsocketMessageReceivedEvent::class => ['write', 64],
            WebsocketConnectionClosedEvent::class => ['write', 64],
        ];
    }

    public function write(WebsocketEvent $event): void
    {
        $id = $event->getConnectionId();
        try {
            match (true) {
                $event instanceof WebsocketConnectionEstablishedEvent => $this->writer->upsertConnection(
                    $id,
                    $event->getUserId(),
                    $event->getSubjects(),
                    $event->getConnectedAt()
                ),
                $event instanceof WebsocketConnectionClosedEvent => $this->writer->removeConnection(
                    $id,
                    $event->getUserId(),
                    $event->getSubjects()
                ),
                $this->refreshOnMessage => $this->writer->touchConnection(
                    $id,
                    $event->getUserId(),
                    $event->getSubjects()
                ),
                default => null,
            };
        } catch (RedisUnavailable | RedisRefused $error) {
            // To have the event sent again for this would repeat what the other listeners do.
            $this->logger->error('Presence was not written: {error}', ['error' => $error->getMessage()]);
        }
    }
}
