<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Brokers;

use Snoke\WsBundle\Consumer\EventDelivery;
use Snoke\WsBundle\Consumer\RedisStreamConsumer;
use Snoke\WsBundle\Consumer\Stop;
use Snoke\WsBundle\Event\EventReader;
use Snoke\WsBundle\Event\WebsocketEvent;
use Snoke\WsBundle\Exception\RedisUnavailable;
use Snoke\WsBundle\Json;
use Snoke\WsBundle\Redis\RedisClientInterface;
use Snoke\WsBundle\Service\TracingService;
use Snoke\WsBundle\Settings\ConsumerSettings;
use Snoke\WsBundle\Tests\App\Documents;
use Snoke\WsBundle\Tests\App\Listener;
use Snoke\WsBundle\Tests\App\Recorder;
use Symfony\Component\EventDispatcher\EventDispatcher;

/**
 * The consumer group against a real Redis.
 */
final class RedisConsumerTest extends RedisCase
{
    private Listener $listener;
    private Recorder $log;

    /** @var list<ConsumerProcess> */
    private array $processes = [];

    protected function setUp(): void
    {
        parent::setUp();
        $this->listener = new Listener();
        $this->log = new Recorder();
    }

    protected function tearDown(): void
    {
        foreach ($this->processes as $process) {
            $process->end();
        }
        $this->processes = [];
        parent::tearDown();
    }

    /**
     * @dataProvider libraries
     */
    public function testWhatCameWhileNobodyReadIsRead(string $library): void
    {
        $this->add('events', Documents::connected(['event_id' => 'a']));
        $this->add('inbox', Documents::message(['event_id' => 'b']));
        $this->add('inbox', Documents::message(['event_id' => 'c']));
        $this->consume(new Stop(3), self::client($library, $this->dsn));
        self::assertSame(['a', 'b', 'c'], $this->handled());
        self::assertSame(0, $this->pendingCount('inbox') + $this->pendingCount('events'));

        $this->add('inbox', Documents::message(['event_id' => 'd']));
        $this->consume(new Stop(1), self::client($library, $this->dsn));
        self::assertSame(['a', 'b', 'c', 'd'], $this->handled(), 'the group goes on where it was');
    }

    public function testANewGroupMayBeginAtTheNewest(): void
    {
        $this->add('inbox', Documents::message(['event_id' => 'old']));
        $this->consume(new Stop(0, 0.01), settings: $this->settings(['start' => 'newest']));
        $this->add('inbox', Documents::message(['event_id' => 'new']));
        $this->consume(new Stop(1), settings: $this->settings(['start' => 'newest']));
        self::assertSame(['new'], $this->handled());
    }

    public function testTheLimitFetchesNoMoreThanItHandles(): void
    {
        foreach (range(1, 5) as $number) {
            $this->add('inbox', Documents::message(['event_id' => "$number"]));
        }
        $this->consume(new Stop(2));
        self::assertSame(['1', '2'], $this->handled());
        self::assertSame(0, $this->pendingCount('inbox'));
    }

    public function testAListenerThatFailsOnceGetsTheEntryAgainAndOrderStays(): void
    {
        $failures = 1;
        $this->listener->first = static function () use (&$failures): void {
            if ($failures-- > 0) {
                throw new \RuntimeException('once');
            }
        };
        $this->add('inbox', Documents::message(['event_id' => 'a']));
        $this->add('inbox', Documents::message(['event_id' => 'b']));
        $this->consume(new Stop(2));
        self::assertSame(['a', 'b'], $this->handled());
    }

    public function testWhatNobodyCanUseBecomesADeadLetter(): void
    {
        $this->listener->first = static function (WebsocketEvent $event): void {
            if ('bad' === $event->getEventId()) {
                throw new \RuntimeException('always');
            }
        };
        $this->redis->call('XADD', "$this->own-inbox", '1-1', 'data', '{"type":');
        $this->redis->call('XADD', "$this->own-inbox", '1-2', 'other', 'field');
        $bad = Documents::message(['event_id' => 'bad']);
        $this->add('inbox', $bad);
        $this->add('inbox', Documents::message(['event_id' => 'good']));
        $this->consume(new Stop(4));
        self::assertSame(['good'], $this->handled());
        $dead = $this->entries("$this->own-dlq");
        self::assertSame(['parse_error', 'parse_error', 'listener_failed'], array_column($dead, 'reason'));
        self::assertSame(['{"type":', '{"other":"field"}', Json::encode($bad)], array_column($dead, 'raw'));
        self::assertSame("$this->own-inbox", $dead[0]['stream']);
        self::assertSame('1-1', $dead[0]['entry_id']);
        self::assertSame(0, $this->pendingCount('inbox'));
    }

    public function testTwoConsumersShareTheWork(): void
    {
        $this->consume(new Stop(0, 0.01));
        foreach (range(1, 20) as $number) {
            $this->add('inbox', Documents::message(['event_id' => "$number"]));
        }
        $this->consume(new Stop(5), settings: $this->settings(['name' => 'one']));
        $this->consume(new Stop(15), settings: $this->settings(['name' => 'two']));
        self::assertCount(20, array_unique($this->handled()));
    }

    public function testEntriesOfADeadConsumerAreTakenOver(): void
    {
        $this->add('inbox', Documents::message(['event_id' => 'a']));
        $this->add('inbox', Documents::message(['event_id' => 'b']));
        $this->leaveInTheHandsOf('dead');
        $this->consume(new Stop(2), settings: $this->settings(['claimSeconds' => 0.05]));
        self::assertSame(['a', 'b'], $this->handled());
        self::assertSame(0, $this->pendingCount('inbox'));
    }

    public function testEntriesOfALiveConsumerAreLeftAlone(): void
    {
        $this->add('inbox', Documents::message(['event_id' => 'a']));
        $this->leaveInTheHandsOf('alive');
        $this->consume(new Stop(0, 0.5));
        self::assertSame([], $this->handled());
        self::assertSame(1, $this->pendingCount('inbox'));
    }

    public function testAConsumerWithANameGoesOnWithWhatItHad(): void
    {
        $this->add('inbox', Documents::message(['event_id' => 'a']));
        $this->leaveInTheHandsOf('me');
        $this->consume(new Stop(1), settings: $this->settings(['name' => 'me']));
        self::assertSame(['a'], $this->handled());
    }

    public function testEntriesThatWereTrimmedAwayAreAcknowledged(): void
    {
        $this->add('inbox', Documents::message(['event_id' => 'a']));
        $this->leaveInTheHandsOf('dead');
        $this->redis->call('XTRIM', "$this->own-inbox", 'MAXLEN', 0);
        self::assertSame(1, $this->pendingCount('inbox'));
        $this->consume(new Stop(0, 0.3), settings: $this->settings(['claimSeconds' => 0.05]));
        self::assertSame(0, $this->pendingCount('inbox'));
        self::assertStringContainsString('trimmed away', $this->log->text());
        self::assertSame([], $this->handled());
    }

    public function testAnEntryThatWasGivenOutTooOftenBecomesADeadLetter(): void
    {
        $this->add('inbox', Documents::message(['event_id' => 'a']));
        $this->leaveInTheHandsOf('dead');
        foreach (range(1, 2) as $ignored) {
            $id = $this->redis->call('XPENDING', "$this->own-inbox", 'symfony', '-', '+', 1)[0][0];
            $this->redis->call('XCLAIM', "$this->own-inbox", 'symfony', 'dead', 0, $id);
        }
        $this->consume(new Stop(1), settings: $this->settings(['claimSeconds' => 0.05, 'attempts' => 3]));
        self::assertSame([], $this->handled());
        self::assertSame(['abandoned'], array_column($this->entries("$this->own-dlq"), 'reason'));
    }

    public function testWhatAStopLeavesIsTakenUpByTheNextOneWithoutAWait(): void
    {
        foreach (['a', 'b', 'c'] as $id) {
            $this->add('inbox', Documents::message(['event_id' => $id]));
        }
        $stop = new Stop();
        $this->listener->first = static fn () => $stop->ask();
        $this->consume($stop, settings: $this->settings(['name' => 'one']));
        self::assertSame(['a'], $this->handled(), 'the entry in hand is finished, the others are not begun');
        $this->listener->first = null;
        $this->consume(new Stop(2), settings: $this->settings(['name' => 'two', 'attempts' => 1]));
        self::assertSame(['a', 'b', 'c'], $this->handled());
    }

    public function testPartitionsAreFoundAlsoThoseThatComeLater(): void
    {
        $this->add('inbox.room:1', Documents::message(['event_id' => 'a']));
        $this->add('inbox.room:2', Documents::message(['event_id' => 'b']));
        $this->redis->call('SET', "$this->own-inbox.noise", 'no stream');
        $settings = $this->settings(['partitioned' => true]);
        $this->consume(new Stop(2), settings: $settings);
        self::assertEqualsCanonicalizing(['a', 'b'], $this->handled());
        $this->add('inbox.room:3', Documents::message(['event_id' => 'c']));
        $this->consume(new Stop(1), settings: $settings);
        self::assertContains('c', $this->handled());
    }

    /**
     * Only what was there before the group's first start is skipped.
     */
    public function testAPartitionThatCameWhileNobodyReadIsReadFromItsBeginning(): void
    {
        $settings = $this->settings(['partitioned' => true, 'start' => 'newest']);
        $this->add('inbox.room:1', Documents::message(['event_id' => 'old']));
        $this->consume(new Stop(0, 0.3), settings: $settings);
        $this->add('inbox.room:1', Documents::message(['event_id' => 'a']));
        $this->add('inbox.room:2', Documents::message(['event_id' => 'b']));
        $this->consume(new Stop(2), settings: $settings);
        self::assertEqualsCanonicalizing(['a', 'b'], $this->handled());
    }

    public function testAStreamThatIsDeletedIsReadFromItsNewBeginning(): void
    {
        $stop = new Stop();
        $this->add('inbox', Documents::message(['event_id' => 'a']));
        $this->listener->first = function (WebsocketEvent $event) use ($stop): void {
            if ('a' === $event->getEventId()) {
                $this->redis->call('DEL', "$this->own-inbox", "$this->own-events");
                $this->add('inbox', Documents::message(['event_id' => 'b']));
            } else {
                $stop->ask();
            }
        };
        $this->consume($stop, self::client('predis', $this->dsn));
        self::assertSame(['a', 'b'], $this->handled());
    }

    /**
     * @dataProvider libraries
     */
    public function testAnEntryThatIsDoneWhenTheConnectionBreaksIsNotDoneAgain(string $library): void
    {
        $redis = self::client($library, $this->dsn);
        foreach (['a', 'b'] as $id) {
            $this->add('inbox', Documents::message(['event_id' => $id]));
        }
        $this->listener->first = function (WebsocketEvent $event) use ($redis): void {
            if ('a' === $event->getEventId()) {
                $this->redis->call('CLIENT', 'KILL', 'ID', $redis->call('CLIENT', 'ID'));
            }
        };
        $this->consume(new Stop(2), $redis, $this->settings(['name' => 'me']));
        self::assertSame(['a', 'b'], $this->handled());
        self::assertSame(0, $this->pendingCount('inbox'));
    }

    public function testAConsumerThatEndsLeavesNoNameBehind(): void
    {
        $this->consume(new Stop(0, 0.01));
        self::assertSame([], $this->redis->call('XINFO', 'CONSUMERS', "$this->own-inbox", 'symfony'));
    }

    public function testARedisThatIsAwayIsWaitedFor(): void
    {
        $away = new class ($this->redis) implements RedisClientInterface {
            public int $failures = 2;

            public function __construct(private readonly RedisClientInterface $redis)
            {
            }

            public function call(string $command, string|int ...$arguments): mixed
            {
                return $this->failures-- > 0
                    ? throw new RedisUnavailable('away')
                    : $this->redis->call($command, ...$arguments);
            }

            public function close(): void
            {
            }
        };
        $this->add('inbox', Documents::message(['event_id' => 'a']));
        $this->consume(new Stop(1), $away);
        self::assertSame(['a'], $this->handled());
        self::assertStringContainsString('Redis is there again', $this->log->text());
    }

    public function testSigtermFinishesTheEntryInHandAndLosesNothing(): void
    {
        $this->add('inbox', Documents::message([
            'event_id' => 'slow',
            'message' => ['type' => 'sleep', 'payload' => 1.0],
        ]));
        $this->add('inbox', Documents::message(['event_id' => 'next']));
        $first = $this->start();
        $first->until(static fn () => ['slow'] === $first->ids('begin'));
        $first->signal(\SIGTERM);
        self::assertSame(0, $first->wait(), $first->log());
        self::assertSame(['slow'], $first->ids('end'));
        self::assertStringContainsString('Stopped after 1 events', $first->log());

        $second = $this->start(['--limit=1']);
        self::assertSame(0, $second->wait(), $second->log());
        self::assertSame(['next'], $second->ids('end'));
        self::assertSame(0, $this->pendingCount('inbox'));
    }

    public function testSigtermEndsAnIdleConsumer(): void
    {
        $consumer = $this->start();
        $consumer->until(fn () => $consumer->reading());
        $consumer->signal(\SIGTERM);
        self::assertSame(0, $consumer->wait(), $consumer->log());
    }

    /**
     * What was acknowledged never comes again, what was not does.
     */
    public function testAConsumerThatIsKilledIsSucceeded(): void
    {
        $this->add('inbox', Documents::message(['event_id' => 'done']));
        $this->add('inbox', Documents::message(['event_id' => 'fatal', 'message' => ['type' => 'die']]));
        $this->add('inbox', Documents::message(['event_id' => 'later']));
        $begun = [];
        for ($round = 0; $round < 3; ++$round) {
            $consumer = $this->start([], ['claim_seconds' => 0.2, 'attempts' => 3]);
            $consumer->wait();
            $begun[] = $consumer->ids('begin');
        }
        self::assertSame([['done', 'fatal'], ['fatal'], ['fatal']], $begun);

        $last = $this->start(['--limit=2'], ['claim_seconds' => 0.2, 'attempts' => 3]);
        self::assertSame(0, $last->wait(), $last->log());
        self::assertSame(['later'], $last->ids('end'));
        self::assertSame(['abandoned'], array_column($this->entries("$this->own-dlq"), 'reason'));
        self::assertSame(0, $this->pendingCount('inbox'));
    }

    public function testTheTimeLimitEndsIt(): void
    {
        $consumer = $this->start(['--time-limit=1']);
        self::assertSame(0, $consumer->wait(), $consumer->log());
    }

    /**
     * @param list<string>         $options
     * @param array<string, mixed> $consumer
     */
    private function start(array $options = [], array $consumer = []): ConsumerProcess
    {
        return $this->processes[] = new ConsumerProcess([
            'mode' => 'core',
            'events' => ['redis_stream' => [
                'dsn' => $this->dsn,
                'stream' => "$this->own-events",
                'inbox_stream' => "$this->own-inbox",
                'dlq_stream' => "$this->own-dlq",
            ]],
            'consumer' => $consumer,
        ], $options);
    }

    private function consume(
        Stop $stop,
        ?RedisClientInterface $redis = null,
        ?ConsumerSettings $settings = null
    ): void {
        $settings ??= $this->settings();
        $dispatcher = new EventDispatcher();
        $dispatcher->addSubscriber($this->listener);
        $delivery = new EventDelivery(
            new EventReader(),
            $dispatcher,
            new TracingService(),
            $settings->attempts,
            $settings->retrySeconds
        );
        $redis ??= self::client('phpredis', $this->dsn);
        (new RedisStreamConsumer($redis, $settings, $delivery))->consume($stop, $this->log);
    }

    /**
     * @param array<string, mixed> $more
     */
    private function settings(array $more = []): ConsumerSettings
    {
        $unused = static fn (): string => '';

        return new ConsumerSettings(...$more + [
            'redisDsn' => $unused,
            'rabbitmqDsn' => $unused,
            'inboxStream' => "$this->own-inbox",
            'eventsStream' => "$this->own-events",
            'deadLetterStream' => "$this->own-dlq",
            'retrySeconds' => 0.001,
        ]);
    }

    /**
     * @param array<string, mixed> $document
     */
    private function add(string $stream, array $document): void
    {
        $this->redis->call('XADD', "$this->own-$stream", '*', 'data', Json::encode($document));
    }

    private function leaveInTheHandsOf(string $consumer): void
    {
        $stream = "$this->own-inbox";
        $this->redis->call('XGROUP', 'CREATE', $stream, 'symfony', '0');
        $this->redis->call('XREADGROUP', 'GROUP', 'symfony', $consumer, 'STREAMS', $stream, '>');
        usleep(100_000);
    }

    private function pendingCount(string $stream): int
    {
        return (int) $this->redis->call('XPENDING', "$this->own-$stream", 'symfony')[0];
    }

    /**
     * @return list<string|null>
     */
    private function handled(): array
    {
        return array_map(static fn (WebsocketEvent $event) => $event->getEventId(), $this->listener->events);
    }
}
