<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Consumer;

use Psr\Log\LoggerInterface;
use Snoke\WsBundle\Exception\RedisRefused;
use Snoke\WsBundle\Exception\RedisUnavailable;
use Snoke\WsBundle\Redis\RedisClientInterface;
use Snoke\WsBundle\Settings\ConsumerSettings;

/**
 * Reads events from Redis streams as a member of a consumer group.
 *
 * Nothing that came while nobody read is skipped. What a consumer that died had in hand is taken over, one entry after
 * the other: an entry that kills whoever touches it so becomes a dead letter alone, not with its neighbours.
 */
final class RedisStreamConsumer implements ConsumesEvents
{
    /** PHP cannot be woken from a read, so a read is short: that is how soon SIGTERM is noticed. */
    private const BLOCK_MILLISECONDS = 200;
    private const DISCOVER_SECONDS = 5.0;
    private const LONGEST_WAIT = 10.0;

    private readonly ConsumerGroup $group;

    /** @var list<string> */
    private array $streams = [];

    private bool $ready = false;
    /** Where a group begins in a stream that it does not know. */
    private string $start;

    private float $discoverAt = 0.0;
    private float $claimAt = 0.0;

    /** @var array<string, StreamEntry> done, but the connection broke before Redis knew */
    private array $unsettled = [];

    public function __construct(
        private readonly RedisClientInterface $redis,
        private readonly ConsumerSettings $settings,
        private readonly EventDelivery $delivery,
        private readonly bool $ownName = true
    ) {
        $this->start = 'newest' === $settings->start ? '$' : '0';
        $this->group = new ConsumerGroup($redis, $settings->group, $settings->name);
    }

    public function consume(Stop $stop, LoggerInterface $logger): void
    {
        $failures = 0;
        while (!$stop->requested()) {
            try {
                $this->round($stop, $logger);
                if ($failures > 0) {
                    $logger->notice('Redis is there again.');
                }
                $failures = 0;
            } catch (RedisUnavailable | RedisRefused $error) {
                $this->ready = false;
                if ($error instanceof RedisRefused && preg_match('/^(NOGROUP|UNBLOCKED)/', $error->getMessage())) {
                    // The stream was deleted, or the database flushed. It begins anew.
                    $logger->warning('A stream or its group is gone: {error}', ['error' => $error->getMessage()]);
                    $stop->sleep(0.1);
                    continue;
                }
                $wait = min(0.5 * 2 ** $failures++, self::LONGEST_WAIT);
                $logger->error('Redis cannot be read, next try in {seconds} s: {error}', [
                    'seconds' => $wait,
                    'error' => $error->getMessage(),
                ]);
                $stop->sleep($wait);
            }
        }
        $this->leave($logger);
    }

    private function round(Stop $stop, LoggerInterface $logger): void
    {
        foreach ($this->unsettled as $key => $entry) {
            $this->group->acknowledge($entry->stream, $entry->id);
            unset($this->unsettled[$key]);
        }
        if (!$this->ready) {
            $this->prepare($logger);
            foreach ($this->streams as $stream) {
                $this->takeOver($stream, 0, $this->settings->name, $stop, $logger);
            }
            $this->ready = true;
        }
        if ($this->settings->partitioned && microtime(true) >= $this->discoverAt) {
            $this->discover($logger);
        }
        if (microtime(true) >= $this->claimAt) {
            foreach ($this->streams as $stream) {
                $this->takeOver($stream, $this->settings->claimMilliseconds(), null, $stop, $logger);
            }
            $this->claimAt = microtime(true) + min(5.0, $this->settings->claimSeconds / 2);
        }
        if (!$stop->requested()) {
            $count = $stop->atMost($this->settings->batch);
            $entries = $this->group->read($this->streams, $count, self::BLOCK_MILLISECONDS);
            $this->handleAll($entries, $stop, $logger);
        }
    }

    private function prepare(LoggerInterface $logger): void
    {
        $base = array_values(array_unique([$this->settings->eventsStream, $this->settings->inboxStream]));
        $new = true;
        foreach ($base as $stream) {
            $new = $this->group->ensure($stream, $this->start, true) && $new;
        }
        if (!$new) {
            // Where the group is known, whatever it does not know yet has come since.
            $this->start = '0';
        }
        $this->streams = $base;
        if ($this->settings->partitioned) {
            $this->discover($logger);
        }
        // A stream that appears or is deleted later is read from its beginning.
        $this->start = '0';
        $logger->info('Reading {streams} as {consumer} of the group {group}.', [
            'streams' => implode(', ', $this->streams),
            'consumer' => $this->settings->name,
            'group' => $this->settings->group,
        ]);
    }

    /**
     * Finds the streams of ordering keys. One that appears while we run is read from its beginning.
     */
    private function discover(LoggerInterface $logger): void
    {
        $others = [$this->settings->eventsStream, $this->settings->deadLetterStream];
        foreach ($this->group->streams($this->settings->inboxStream . '.') as $stream) {
            if (\in_array($stream, [...$this->streams, ...$others], true) || !$this->group->isStream($stream)) {
                continue;
            }
            if (null !== $this->group->ensure($stream, $this->start, false)) {
                $this->streams[] = $stream;
                $logger->debug('There is another partition: {stream}', ['stream' => $stream]);
            }
        }
        $this->discoverAt = microtime(true) + self::DISCOVER_SECONDS;
    }

    /**
     * Handles what was given out and never acknowledged.
     *
     * @param string|null $consumer only what this one had
     */
    private function takeOver(
        string $stream,
        int $idleMilliseconds,
        ?string $consumer,
        Stop $stop,
        LoggerInterface $logger
    ): void {
        foreach ($this->group->pending($stream, $idleMilliseconds, $consumer) as $id => $deliveries) {
            if ($stop->requested()) {
                return;
            }
            $id = (string) $id;
            $where = ['stream' => $stream, 'id' => $id];
            $entry = $this->group->claim($stream, $id, $idleMilliseconds, $deliveries);
            if (null === $entry) {
                // Another consumer was faster, or it was trimmed away and nobody will ever read it.
                if (!$this->group->exists($stream, $id)) {
                    $this->group->acknowledge($stream, $id);
                    $logger->warning('An entry was trimmed away before it was handled; it is lost.', $where);
                }
                continue;
            }
            if ($entry->deliveries > $this->settings->attempts) {
                $message = 'An entry was given out {deliveries} times and never finished: a dead letter.';
                $logger->error($message, $where + ['deliveries' => $deliveries]);
                $this->group->bury($this->settings->deadLetterStream, $entry, 'abandoned');
                $stop->count();
                continue;
            }
            $logger->info('An entry that was given out before is taken over.', $where + ['deliveries' => $deliveries]);
            $this->handleAll([$entry], $stop, $logger);
        }
    }

    /**
     * @param list<StreamEntry> $entries
     */
    private function handleAll(array $entries, Stop $stop, LoggerInterface $logger): void
    {
        $kept = microtime(true);
        while ([] !== $entries) {
            if ($stop->requested()) {
                $this->giveBack($entries, $logger);

                return;
            }
            if (microtime(true) - $kept > $this->settings->claimSeconds / 3) {
                // The ones before took long. Whoever else may have claimed the rest shall keep it.
                $entries = array_values(array_filter($entries, $this->group->keep(...)));
                $kept = microtime(true);
                continue;
            }
            $entry = array_shift($entries);
            $result = $this->delivery->deliver(
                $entry->data,
                ['stream' => $entry->stream, 'id' => $entry->id],
                $stop,
                $logger,
                fn () => $this->keepAll([$entry, ...$entries])
            );
            if (Outcome::Interrupted === $result->outcome) {
                $this->giveBack([$entry, ...$entries], $logger);

                return;
            }
            $stop->count();
            $this->settle($entry, $result, $logger);
        }
    }

    private function settle(StreamEntry $entry, Result $result, LoggerInterface $logger): void
    {
        try {
            if (Outcome::Dead === $result->outcome) {
                $this->group->bury($this->settings->deadLetterStream, $entry, $result->reason);
                $logger->error('An entry became a dead letter.', [
                    'stream' => $entry->stream,
                    'id' => $entry->id,
                    'reason' => $result->reason,
                ]);

                return;
            }
            $this->group->acknowledge($entry->stream, $entry->id);
        } catch (RedisUnavailable $error) {
            if (Outcome::Dead === $result->outcome) {
                // It stays in our hands, and is buried the next time.
                throw $error;
            }
            $this->unsettled[$entry->key()] = $entry;
        }
    }

    /**
     * @param list<StreamEntry> $entries
     */
    private function keepAll(array $entries): void
    {
        try {
            foreach ($entries as $entry) {
                $this->group->keep($entry);
            }
        } catch (RedisUnavailable | RedisRefused) {
            // The acknowledgement will meet the same trouble, and knows what to do.
        }
    }

    /**
     * Lets another consumer have what we did not try, without a wait.
     *
     * @param list<StreamEntry> $entries
     */
    private function giveBack(array $entries, LoggerInterface $logger): void
    {
        try {
            foreach ($entries as $entry) {
                $this->group->giveBack($entry, $this->settings->claimMilliseconds());
            }
        } catch (RedisUnavailable | RedisRefused $error) {
            $logger->warning('Entries could not be given back; they are taken over after {seconds} s: {error}', [
                'seconds' => $this->settings->claimSeconds,
                'error' => $error->getMessage(),
            ]);
        }
    }

    private function leave(LoggerInterface $logger): void
    {
        try {
            foreach ($this->unsettled as $entry) {
                $this->group->acknowledge($entry->stream, $entry->id);
            }
            foreach ($this->ownName ? $this->streams : [] as $stream) {
                $this->group->leave($stream);
            }
        } catch (RedisUnavailable | RedisRefused $error) {
            $logger->warning('The group could not be left in order: {error}', ['error' => $error->getMessage()]);
        }
        $this->redis->close();
    }
}
