<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

/**
 * Judges which listed connections are alive.
 *
 * `none` and `session` believe the list. `ttl` and `heartbeat` keep what was seen within the window (`ttl_seconds` or
 * `heartbeat_seconds`) and the grace. A window of 0 keeps everything.
 */
final class PresenceInterpreter
{
    /**
     * @param (\Closure():int)|null $clock Unix seconds
     */
    public function __construct(
        private readonly string $strategy = 'none',
        private readonly int $ttl = 120,
        private readonly int $heartbeat = 30,
        private readonly int $grace = 15,
        private readonly bool $useLastSeen = true,
        private readonly ?\Closure $clock = null
    ) {
    }

    /**
     * @param list<array<string, mixed>> $connections as PresenceProviderInterface has them
     * @param bool                       $live        the source lists what it holds at this moment: what it cannot date
     *                                                is alive. Otherwise the time of the connecting counts instead
     *
     * @return list<array<string, mixed>>
     */
    public function alive(array $connections, bool $live): array
    {
        $window = match ($this->strategy) {
            'ttl' => $this->ttl,
            'heartbeat' => $this->heartbeat,
            default => 0,
        };
        if ($window <= 0) {
            return $connections;
        }
        $oldest = (null === $this->clock ? time() : ($this->clock)()) - $window - $this->grace;

        return array_values(array_filter($connections, function (array $connection) use ($oldest, $live): bool {
            $seen = $this->useLastSeen ? ($connection['last_seen_at'] ?? null) : null;
            if (null === $seen && $live && $this->useLastSeen) {
                return true;
            }
            $seen ??= $connection['connected_at'] ?? null;

            return null === $seen ? $live : $seen >= $oldest;
        }));
    }
}
