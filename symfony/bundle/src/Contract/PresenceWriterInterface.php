<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Contract;

/**
 * Keeps presence from the events that the application receives, where the gateway does not do it itself.
 */
interface PresenceWriterInterface
{
    /**
     * @param list<string> $subjects
     */
    public function upsertConnection(string $connectionId, string $userId, array $subjects, int $connectedAt): void;

    /**
     * The connection gave a sign of life.
     *
     * @param list<string> $subjects
     */
    public function touchConnection(string $connectionId, string $userId, array $subjects): void;

    /**
     * @param list<string> $subjects
     */
    public function removeConnection(string $connectionId, string $userId, array $subjects): void;
}
