<?php

declare(strict_types=1);

namespace App\Demo;

use Snoke\WsBundle\Contract\PresenceProviderInterface;
use Snoke\WsBundle\Event\WebsocketConnectionClosedEvent;
use Snoke\WsBundle\Event\WebsocketConnectionEstablishedEvent;
use Snoke\WsBundle\Event\WebsocketEvent;
use Snoke\WsBundle\Exception\PresenceFailed;

/**
 * Who is online, as the events leave it.
 *
 * Presence in Redis is a moment behind the events. So the consumer remembers those of the last seconds, and corrects
 * the list by them; a web server, which forgets everything after each request, asks the gateway, whose list is exact.
 */
final class OnlineUsers
{
    private const MEMORY_SECONDS = 5;

    /** @var array<string, array{float, string|null}> by connection id: when it came or went, and its user unless gone */
    private array $recent = [];

    public function __construct(private readonly PresenceProviderInterface $presence)
    {
    }

    /**
     * @return list<string> user ids, sorted
     *
     * @throws PresenceFailed
     */
    public function after(WebsocketEvent $event): array
    {
        $this->remember($event);
        $users = array_column($this->presence->listConnections()['connections'], 'user_id', 'connection_id');
        foreach ($this->recent as $connectionId => [, $userId]) {
            if (null === $userId) {
                unset($users[$connectionId]);
            } else {
                $users[$connectionId] = $userId;
            }
        }
        $users = array_values(array_unique($users));
        sort($users, \SORT_STRING);

        return $users;
    }

    private function remember(WebsocketEvent $event): void
    {
        $now = microtime(true);
        $occurred = ($event->getOccurredAtMs() ?? (int) ($now * 1000)) / 1000;
        $gone = $event instanceof WebsocketConnectionClosedEvent;
        if ($gone || $event instanceof WebsocketConnectionEstablishedEvent) {
            $this->recent[$event->getConnectionId()] = [$occurred, $gone ? null : $event->getUserId()];
        }
        // Of what is older the list knows, also where a consumer works off what came while none ran.
        $this->recent = array_filter(
            $this->recent,
            static fn (array $one) => $now - $one[0] <= self::MEMORY_SECONDS
        );
    }
}
