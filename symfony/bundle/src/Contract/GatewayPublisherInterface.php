<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Contract;

use Snoke\WsBundle\Publication;

/**
 * A publisher that can do all that the gateway can.
 */
interface GatewayPublisherInterface extends PublisherInterface
{
    /**
     * Sends publications in their order.
     *
     * Over HTTP up to 1,000 of them are one request, which the gateway takes whole or not at all. Over a broker they
     * go one after the other; a failure in the middle leaves the first ones sent.
     *
     * @param list<Publication> $publications
     *
     * @return list<int|null> for each, to how many connections it was queued; null where a broker is between, because
     *                        then nobody knows
     *
     * @throws \Snoke\WsBundle\Exception\PublishFailed
     */
    public function publishAll(array $publications): array;

    /**
     * Closes the connections that fit every given filter.
     *
     * @param int    $code   what the client reads in its close event, 4000 to 4999; 4403 tells it to stay away
     * @param string $reason what it reads beside the code
     *
     * @return int|null how many were told to close; null where a broker is between
     *
     * @throws \InvalidArgumentException               no filter is given, or the code is out of range
     * @throws \Snoke\WsBundle\Exception\PublishFailed
     */
    public function disconnect(
        ?string $userId = null,
        ?string $connectionId = null,
        int $code = 4403,
        string $reason = ''
    ): ?int;
}
