<?php

declare(strict_types=1);

namespace App\Demo;

use Snoke\WsBundle\Contract\PresenceProviderInterface;
use Snoke\WsBundle\Event\WebsocketConnectionClosedEvent;
use Snoke\WsBundle\Event\WebsocketConnectionEstablishedEvent;
use Snoke\WsBundle\Event\WebsocketEvent;
use Snoke\WsBundle\Exception\PresenceFailed;

/**
 * Who is online, as an event leaves it.
 */
final class OnlineUsers
{
    public function __construct(private readonly PresenceProviderInterface $presence)
    {
    }

    /**
     * What presence lists, and the event itself: the list may not know of it yet.
     *
     * @return list<string> user ids, sorted
     *
     * @throws PresenceFailed
     */
    public function after(WebsocketEvent $event): array
    {
        $users = array_column($this->presence->listConnections()['connections'], 'user_id', 'connection_id');
        if ($event instanceof WebsocketConnectionClosedEvent) {
            unset($users[$event->getConnectionId()]);
        } elseif ($event instanceof WebsocketConnectionEstablishedEvent) {
            $users[$event->getConnectionId()] = $event->getUserId();
        }
        $users = array_values(array_unique($users));
        sort($users, \SORT_STRING);

        return $users;
    }
}
