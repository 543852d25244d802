<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Redis;

use Snoke\WsBundle\Exception\RedisRefused;
use Snoke\WsBundle\Exception\RedisUnavailable;

/**
 * Which of a server's errors pass by themselves.
 *
 * @internal
 */
final class Refusal
{
    /** A replica after a failover, a server that starts, is full or cannot save: an outage, not an answer. */
    private const PASSING = [
        'LOADING', 'READONLY', 'MASTERDOWN', 'OOM', 'MISCONF', 'CLUSTERDOWN', 'TRYAGAIN', 'NOREPLICAS', 'BUSY',
    ];

    public static function of(string $message): RedisRefused|RedisUnavailable
    {
        $word = strtok($message, ' ');

        return \in_array($word, self::PASSING, true)
            ? new RedisUnavailable("Redis is not ready: $message")
            : new RedisRefused($message);
    }
}
