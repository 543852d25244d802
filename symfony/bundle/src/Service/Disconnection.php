<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

/**
 * The wish that connections be closed, as the gateway takes it.
 *
 * @internal
 */
final class Disconnection
{
    /**
     * @return array<string, string|int>
     *
     * @throws \InvalidArgumentException
     */
    public static function document(?string $userId, ?string $connectionId, int $code, string $reason): array
    {
        if (null === $userId && null === $connectionId) {
            throw new \InvalidArgumentException('Say whom to disconnect: a user id, a connection id or both.');
        }
        if ($code < 4000 || $code > 4999) {
            throw new \InvalidArgumentException("The close code $code is not between 4000 and 4999.");
        }

        return array_filter([
            'user_id' => $userId,
            'connection_id' => $connectionId,
            'code' => $code,
            'reason' => '' === $reason ? null : $reason,
        ], static fn ($value) => null !== $value);
    }
}
