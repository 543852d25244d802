<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Consumer;

use Snoke\WsBundle\Exception\RedisRefused;
use Snoke\WsBundle\Redis\RedisClientInterface;

/**
 * The commands of Redis consumer groups, for one consumer of one group. Needs Redis 5.0.
 *
 * Every method raises RedisUnavailable and RedisRefused as `RedisClientInterface::call()` does.
 */
final class ConsumerGroup
{
    private const PENDING_PAGE = 1_000;

    public function __construct(
        private readonly RedisClientInterface $redis,
        private readonly string $group,
        private readonly string $consumer
    ) {
    }

    /**
     * Makes the group if it is not there.
     *
     * @param bool $makeStream whether the stream is made, too
     *
     * @return bool|null whether it was made now; null if there is no such stream
     */
    public function ensure(string $stream, string $start, bool $makeStream): ?bool
    {
        $arguments = ['CREATE', $stream, $this->group, $start, ...($makeStream ? ['MKSTREAM'] : [])];
        try {
            $this->redis->call('XGROUP', ...$arguments);
        } catch (RedisRefused $error) {
            if (str_starts_with($error->getMessage(), 'BUSYGROUP')) {
                return false;
            }
            if (!$makeStream && str_contains($error->getMessage(), 'requires the key to exist')) {
                return null;
            }
            throw $error;
        }

        return true;
    }

    /**
     * Streams whose names begin with this text.
     *
     * @return list<string>
     */
    public function streams(string $beginning): array
    {
        $found = [];
        $cursor = '0';
        do {
            $pattern = addcslashes($beginning, '*?[]\\') . '*';
            [$cursor, $keys] = $this->redis->call('SCAN', $cursor, 'MATCH', $pattern, 'COUNT', 1_000);
            foreach ($keys as $key) {
                $found[$key] = true;
            }
        } while ('0' !== (string) $cursor);

        return array_map('strval', array_keys($found));
    }

    public function isStream(string $key): bool
    {
        // The extension answers statuses with true unless told otherwise, so the type is asked for in another way.
        try {
            $this->redis->call('XLEN', $key);
        } catch (RedisRefused) {
            return false;
        }

        return true;
    }

    /**
     * Entries that nobody was given before.
     *
     * @param list<string> $streams
     *
     * @return list<StreamEntry>
     */
    public function read(array $streams, int $count, int $blockMilliseconds): array
    {
        $answer = $this->redis->call(
            'XREADGROUP',
            'GROUP',
            $this->group,
            $this->consumer,
            'COUNT',
            $count,
            'BLOCK',
            $blockMilliseconds,
            'STREAMS',
            ...[...$streams, ...array_fill(0, \count($streams), '>')]
        );
        $entries = [];
        foreach ($answer ?? [] as [$stream, $items]) {
            foreach ($items as [$id, $fields]) {
                $entries[] = StreamEntry::of($stream, $id, $fields ?? []);
            }
        }

        return $entries;
    }

    /**
     * Entries that were given out and not acknowledged, for at least so long.
     *
     * @param string|null $consumer only those of this one
     *
     * @return array<string, int> how often each was given out, by id
     */
    public function pending(string $stream, int $idleMilliseconds, ?string $consumer = null): array
    {
        $of = null === $consumer ? [] : [$consumer];
        $answer = $this->redis->call('XPENDING', $stream, $this->group, '-', '+', self::PENDING_PAGE, ...$of);
        $pending = [];
        foreach ($answer ?? [] as [$id, , $idle, $deliveries]) {
            if ((int) $idle >= $idleMilliseconds) {
                $pending[(string) $id] = (int) $deliveries;
            }
        }

        return $pending;
    }

    /**
     * Takes over an entry, if it has still been left alone for so long.
     *
     * @param int $deliveries what `pending()` said
     */
    public function claim(string $stream, string $id, int $idleMilliseconds, int $deliveries): ?StreamEntry
    {
        $answer = $this->redis->call('XCLAIM', $stream, $this->group, $this->consumer, $idleMilliseconds, $id);
        // What was trimmed away is an empty place before Redis 7.0, and not mentioned since.
        [$claimed, $fields] = ($answer[0] ?? null) ?: [null, null];

        return null === $fields ? null : StreamEntry::of($stream, $claimed, $fields, $deliveries + 1);
    }

    public function exists(string $stream, string $id): bool
    {
        return [] !== ($this->redis->call('XRANGE', $stream, $id, $id) ?? []);
    }

    public function acknowledge(string $stream, string $id): void
    {
        $this->redis->call('XACK', $stream, $this->group, $id);
    }

    /**
     * Whether an entry is in our hands; if so, it counts as taken up just now.
     */
    public function keep(StreamEntry $entry): bool
    {
        $answer = $this->redis->call('XPENDING', $entry->stream, $this->group, $entry->id, $entry->id, 1);
        if (($answer[0][1] ?? null) !== $this->consumer) {
            return false;
        }
        $this->redis->call('XCLAIM', $entry->stream, $this->group, $this->consumer, 0, $entry->id, 'JUSTID');

        return true;
    }

    /**
     * Gives back an entry that was not tried: it counts as abandoned for so long, and as never given out.
     */
    public function giveBack(StreamEntry $entry, int $idleMilliseconds): void
    {
        $this->redis->call('XCLAIM', ...[
            $entry->stream, $this->group, $this->consumer, 0, $entry->id,
            'IDLE', $idleMilliseconds, 'RETRYCOUNT', max(0, $entry->deliveries - 1), 'JUSTID',
        ]);
    }

    public function bury(string $deadLetterStream, StreamEntry $entry, string $reason): void
    {
        $this->redis->call('XADD', $deadLetterStream, '*', ...[
            'reason', $reason, 'raw', $entry->data, 'stream', $entry->stream, 'entry_id', $entry->id,
        ]);
        $this->acknowledge($entry->stream, $entry->id);
    }

    /**
     * Takes our name out of the group, unless something is still in our hands.
     */
    public function leave(string $stream): void
    {
        if ([] === $this->pending($stream, 0, $this->consumer)) {
            $this->redis->call('XGROUP', 'DELCONSUMER', $stream, $this->group, $this->consumer);
        }
    }
}
