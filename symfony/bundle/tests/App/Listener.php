<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\App;

use Snoke\WsBundle\Event\WebsocketConnectionClosedEvent;
use Snoke\WsBundle\Event\WebsocketConnectionEstablishedEvent;
use Snoke\WsBundle\Event\WebsocketEvent;
use Snoke\WsBundle\Event\WebsocketMessageReceivedEvent;
use Symfony\Component\EventDispatcher\EventSubscriberInterface;

/**
 * An application's listener: it remembers every event, and may do something first.
 */
final class Listener implements EventSubscriberInterface
{
    /** @var list<WebsocketEvent> */
    public array $events = [];

    /** @var (\Closure(WebsocketEvent):void)|null */
    public ?\Closure $first = null;

    public static function getSubscribedEvents(): array
    {
        return [
            WebsocketConnectionEstablishedEvent::class => 'hear',
            WebsocketConnectionClosedEvent::class => 'hear',
            WebsocketMessageReceivedEvent::class => 'hear',
        ];
    }

    public function hear(WebsocketEvent $event): void
    {
        if (null !== $this->first) {
            ($this->first)($event);
        }
        $this->events[] = $event;
    }
}
