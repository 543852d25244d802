<?php

declare(strict_types=1);

namespace App\Demo;

use Snoke\WsBundle\Redis\RedisConnections;

/**
 * Chooses where the last message is kept, when it is first needed: one container serves every environment.
 */
final class Stores
{
    /**
     * @param list<string> $dsns      of Redis; the first one that is not blank counts
     * @param string       $directory for a file, where there is no Redis
     */
    public static function choose(
        RedisConnections $connections,
        #[\SensitiveParameter]
        array $dsns,
        string $directory
    ): LastMessageStore {
        foreach ($dsns as $dsn) {
            if ('' !== trim($dsn)) {
                return new RedisStore($connections->to(trim($dsn)));
            }
        }

        return new FileStore("$directory/demo_last_message.json");
    }
}
