<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Redis;

/**
 * A connection to Redis, opened at the first command and again at the next one after it broke.
 */
interface RedisClientInterface
{
    /**
     * Performs one command and answers as Redis does (RESP2): strings, integers, lists, null; a hash is a flat list.
     * Where Redis has no list to give, as after a read that waited in vain, that may be null or an empty one.
     *
     * @throws \Snoke\WsBundle\Exception\RedisUnavailable no connection, or it broke, and the command may have been
     *                                                    executed; or the server is no use now (LOADING, READONLY, …)
     * @throws \Snoke\WsBundle\Exception\RedisRefused     the server understood and said no
     */
    public function call(string $command, string|int ...$arguments): mixed;

    /**
     * Ends the connection. A second time is no error.
     */
    public function close(): void;
}
