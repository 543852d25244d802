<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

/**
 * Brings a connection into the one shape, wherever it was listed.
 *
 * @internal
 */
final class PresenceEntry
{
    /**
     * @param array<array-key, mixed> $entry
     *
     * @return array<string, mixed>|null null if it is no connection
     */
    public static function of(array $entry): ?array
    {
        $id = $entry['connection_id'] ?? '';
        if (!\is_string($id) || '' === $id || !\is_scalar($entry['user_id'] ?? null)) {
            return null;
        }
        $subjects = $entry['subjects'] ?? [];
        if (\is_string($subjects)) {
            // As it is stored in Redis.
            $subjects = json_decode($subjects, true);
        }
        $address = $entry['client_ip'] ?? null;

        return [
            'connection_id' => $id,
            'user_id' => (string) $entry['user_id'],
            'subjects' => \is_array($subjects) ? array_values(array_filter($subjects, 'is_string')) : [],
            'connected_at' => self::seconds($entry['connected_at'] ?? null) ?? 0,
            'last_seen_at' => self::seconds($entry['last_seen_at'] ?? null),
            'client_ip' => \is_string($address) && '' !== $address ? $address : null,
        ];
    }

    private static function seconds(mixed $value): ?int
    {
        return is_numeric($value) ? (int) $value : null;
    }
}
