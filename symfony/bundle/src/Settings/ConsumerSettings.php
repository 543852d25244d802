<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Settings;

/**
 * What `ws:consume` reads, and how.
 */
final class ConsumerSettings
{
    public readonly string $name;

    /**
     * @param \Closure():string $redisDsn
     * @param \Closure():string $rabbitmqDsn
     * @param bool              $partitioned  whether there are streams `<inbox>.<ordering key>`, too
     * @param string            $group        consumers with one group share the work
     * @param string            $name         unique among the processes that run; '' for host and process id
     * @param string            $start        where a new group begins: `oldest` or `newest`
     * @param int               $batch        entries fetched at once
     * @param int               $attempts     how often an entry is tried before it becomes a dead letter
     * @param float             $retrySeconds before the second attempt; doubled before each further one
     * @param float             $claimSeconds after which an entry of another consumer counts as abandoned
     */
    public function __construct(
        public readonly \Closure $redisDsn,
        public readonly \Closure $rabbitmqDsn,
        public readonly string $inboxStream = 'ws.inbox',
        public readonly string $eventsStream = 'ws.events',
        public readonly string $deadLetterStream = 'ws.dlq',
        public readonly bool $partitioned = false,
        public readonly string $inboxExchange = 'ws.inbox',
        public readonly string $inboxQueue = 'ws.inbox',
        public readonly string $eventsExchange = 'ws.events',
        public readonly string $eventsQueue = 'ws.events',
        public readonly string $deadLetterExchange = 'ws.dlq',
        public readonly string $group = 'symfony',
        string $name = '',
        public readonly string $start = 'oldest',
        public readonly int $batch = 10,
        public readonly int $attempts = 5,
        public readonly float $retrySeconds = 0.5,
        public readonly float $claimSeconds = 60.0
    ) {
        $this->name = '' !== $name ? $name : gethostname() . '-' . getmypid();
    }

    public function claimMilliseconds(): int
    {
        return (int) ($this->claimSeconds * 1000);
    }
}
