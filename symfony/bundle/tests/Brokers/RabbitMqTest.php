<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Brokers;

use PHPUnit\Framework\TestCase;
use Snoke\WsBundle\Amqp\AmqpDsn;
use Snoke\WsBundle\Amqp\PhpAmqplibClient;
use Snoke\WsBundle\Consumer\EventDelivery;
use Snoke\WsBundle\Consumer\RabbitMqConsumer;
use Snoke\WsBundle\Consumer\Stop;
use Snoke\WsBundle\Event\EventReader;
use Snoke\WsBundle\Event\WebsocketEvent;
use Snoke\WsBundle\Exception\AmqpUnavailable;
use Snoke\WsBundle\Exception\PublishFailed;
use Snoke\WsBundle\Json;
use Snoke\WsBundle\Service\RabbitMqPublisher;
use Snoke\WsBundle\Service\TracingService;
use Snoke\WsBundle\Settings\ConsumerSettings;
use Snoke\WsBundle\Tests\App\Documents;
use Snoke\WsBundle\Tests\App\Listener;
use Snoke\WsBundle\Tests\App\Recorder;
use Symfony\Component\EventDispatcher\EventDispatcher;

/**
 * Publisher and consumer against a real RabbitMQ.
 */
final class RabbitMqTest extends TestCase
{
    private string $dsn;
    private string $own;
    private PhpAmqplibClient $amqp;
    private Listener $listener;
    private Recorder $log;

    /** @var list<ConsumerProcess> */
    private array $processes = [];

    protected function setUp(): void
    {
        $this->dsn = (string) getenv('AMQP_DSN');
        if ('' === $this->dsn) {
            self::markTestSkipped('AMQP_DSN names no server for the tests.');
        }
        $this->own = 't' . bin2hex(random_bytes(6));
        $this->amqp = $this->client();
        $this->listener = new Listener();
        $this->log = new Recorder();
    }

    protected function tearDown(): void
    {
        foreach ($this->processes as $process) {
            $process->end();
        }
        $this->processes = [];
        if (isset($this->amqp)) {
            $this->amqp->close();
        }
    }

    public function testEverySpellingOfTheDefaultVhostConnects(): void
    {
        $address = rtrim((string) preg_replace('~/[^/]*$~', '', substr($this->dsn, \strlen('amqp://'))), '/');
        foreach (["amqp://$address", "amqp://$address/", "amqp://$address/%2F", "amqp://$address/%2f"] as $dsn) {
            $amqp = new PhpAmqplibClient(AmqpDsn::parse($dsn));
            $amqp->ensureExchange("$this->own-x");
            $amqp->close();
        }
        $this->expectException(AmqpUnavailable::class);
        (new PhpAmqplibClient(AmqpDsn::parse("amqp://$address/nowhere")))->ensureExchange("$this->own-x");
    }

    public function testAPublicationArrivesAsTheGatewayWantsIt(): void
    {
        $publisher = new RabbitMqPublisher($this->amqp, "$this->own-out", 'key', new TracingService(), $this->log);
        $publisher->publish(['user:1'], 'nobody is there yet');
        self::assertStringContainsString('reached no queue', $this->log->text());

        $gateway = $this->client();
        $gateway->ensureQueue("$this->own-q", "$this->own-out", 'key');
        $gateway->consume(["$this->own-q"], 10);
        $publisher->publish(['user:42'], ['text' => 'Grüße']);
        $publisher->disconnect(userId: '42', code: 4001);
        self::assertSame('{"subjects":["user:42"],"payload":{"text":"Grüße"}}', $gateway->next(30)?->body);
        self::assertSame('{"op":"disconnect","user_id":"42","code":4001}', $gateway->next(30)?->body);
        $gateway->close();
    }

    public function testAPublisherOutlivesItsConnection(): void
    {
        $publisher = new RabbitMqPublisher($this->amqp, "$this->own-out", 'key');
        $publisher->publish(['user:1'], 1);
        self::broken($this->amqp);
        $publisher->publish(['user:1'], 2);
        $this->addToAssertionCount(1);
    }

    public function testABrokerThatIsAwayIsAFailureWithoutThePassword(): void
    {
        $amqp = new PhpAmqplibClient(AmqpDsn::parse('amqp://u:canary@127.0.0.1:1'));
        try {
            (new RabbitMqPublisher($amqp))->publish(['user:1'], 1);
            self::fail('it was there');
        } catch (PublishFailed $failed) {
            self::assertStringContainsString('amqp://127.0.0.1:1/%2F', $failed->getMessage());
            self::assertStringNotContainsString('canary', $failed->getMessage());
        }
    }

    public function testAQueueThatIsThereStaysAsItIs(): void
    {
        $raw = new \PhpAmqpLib\Connection\AMQPStreamConnection(...$this->parts());
        $channel = $raw->channel();
        $channel->queue_declare("$this->own-inbox", false, true, false, false, false, new \PhpAmqpLib\Wire\AMQPTable([
            'x-max-length' => 1_000,
        ]));
        $raw->close();
        $this->prepare();
        $this->publish('inbox', Documents::message(['event_id' => 'a']));
        $this->consume(new Stop(1));
        self::assertSame(['a'], $this->handled());
    }

    public function testEventsAreReadAndAcknowledged(): void
    {
        $this->prepare();
        $this->publish('events', Documents::connected(['event_id' => 'a']));
        $this->publish('inbox', Documents::message(['event_id' => 'b']));
        $this->consume(new Stop(2));
        self::assertEqualsCanonicalizing(['a', 'b'], $this->handled());
        $this->consume(new Stop(0, 0.5));
        self::assertCount(2, $this->handled(), 'nothing comes twice');
    }

    public function testWhatNobodyCanUseBecomesADeadLetter(): void
    {
        $this->prepare();
        $this->amqp->publish("$this->own-inbox", "$this->own-inbox", '{"type":');
        $this->publish('inbox', Documents::message(['event_id' => 'good']));
        $this->consume(new Stop(2));
        self::assertSame(['good'], $this->handled());
        $this->amqp->consume(["$this->own-dlq"], 1);
        self::assertSame('{"type":', $this->amqp->next(30)?->body);
    }

    public function testWhatAStopLeavesGoesBackToItsQueue(): void
    {
        $this->prepare();
        foreach (['a', 'b', 'c'] as $id) {
            $this->publish('inbox', Documents::message(['event_id' => $id]));
        }
        $stop = new Stop();
        $this->listener->first = static fn () => $stop->ask();
        $this->consume($stop);
        self::assertSame(['a'], $this->handled());
        $this->listener->first = null;
        $this->consume(new Stop(2));
        self::assertSame(['a', 'b', 'c'], $this->handled());
    }

    public function testAnEventThatIsDoneWhenTheConnectionBreaksIsNotDoneAgain(): void
    {
        $this->prepare();
        $this->publish('inbox', Documents::message(['event_id' => 'a']));
        $this->publish('inbox', Documents::message(['event_id' => 'b']));
        $amqp = $this->client();
        $this->listener->first = static function (WebsocketEvent $event) use ($amqp): void {
            if ('a' === $event->getEventId()) {
                self::broken($amqp);
            }
        };
        $this->consume(new Stop(2), $amqp);
        self::assertSame(['a', 'b'], $this->handled());
    }

    public function testAQueueThatIsDeletedIsMadeAnew(): void
    {
        $this->prepare();
        $stop = new Stop();
        $this->publish('inbox', Documents::message(['event_id' => 'a']));
        $this->listener->first = function (WebsocketEvent $event) use ($stop): void {
            if ('b' === $event->getEventId()) {
                $stop->ask();

                return;
            }
            $raw = new \PhpAmqpLib\Connection\AMQPStreamConnection(...$this->parts());
            $raw->channel()->queue_delete("$this->own-inbox");
            $raw->close();
            // It reaches a queue as soon as the consumer has made one again.
            $this->amqp->ensureQueue("$this->own-inbox", "$this->own-inbox", "$this->own-inbox");
            $this->publish('inbox', Documents::message(['event_id' => 'b']));
        };
        $this->consume($stop);
        self::assertSame(['a', 'b'], $this->handled());
    }

    public function testSigtermFinishesTheEventInHand(): void
    {
        $this->prepare();
        $this->publish('inbox', Documents::message([
            'event_id' => 'slow',
            'message' => ['type' => 'sleep', 'payload' => 1.0],
        ]));
        $this->publish('inbox', Documents::message(['event_id' => 'next']));
        $first = $this->start();
        $first->until(static fn () => ['slow'] === $first->ids('begin'));
        $first->signal(\SIGTERM);
        self::assertSame(0, $first->wait(), $first->log());
        self::assertSame(['slow'], $first->ids('end'));

        $second = $this->start(['--limit=1']);
        self::assertSame(0, $second->wait(), $second->log());
        self::assertSame(['next'], $second->ids('end'));
    }

    public function testSigtermEndsAnIdleConsumer(): void
    {
        $consumer = $this->start();
        $consumer->until(fn () => $consumer->reading());
        $consumer->signal(\SIGTERM);
        self::assertSame(0, $consumer->wait(), $consumer->log());
        self::assertStringNotContainsString('cannot be read', $consumer->log());
    }

    public function testWhatAKilledConsumerHadInHandComesAgain(): void
    {
        $this->prepare();
        $this->publish('inbox', Documents::message(['event_id' => 'done']));
        $this->publish('inbox', Documents::message(['event_id' => 'fatal', 'message' => ['type' => 'die']]));
        $first = $this->start();
        $first->wait();
        self::assertSame(['done', 'fatal'], $first->ids('begin'));
        $second = $this->start();
        $second->wait();
        self::assertSame(['fatal'], $second->ids('begin'));
    }

    /**
     * @param list<string> $options
     */
    private function start(array $options = []): ConsumerProcess
    {
        return $this->processes[] = new ConsumerProcess([
            'mode' => 'core',
            'events' => ['rabbitmq' => [
                'dsn' => $this->dsn,
                'exchange' => "$this->own-events",
                'queue' => "$this->own-events",
                'inbox_exchange' => "$this->own-inbox",
                'inbox_queue' => "$this->own-inbox",
                'dlq_exchange' => "$this->own-dlq",
            ]],
        ], $options);
    }

    private function consume(Stop $stop, ?PhpAmqplibClient $amqp = null): void
    {
        $dispatcher = new EventDispatcher();
        $dispatcher->addSubscriber($this->listener);
        $unused = static fn (): string => '';
        $settings = new ConsumerSettings(
            redisDsn: $unused,
            rabbitmqDsn: $unused,
            inboxExchange: "$this->own-inbox",
            inboxQueue: "$this->own-inbox",
            eventsExchange: "$this->own-events",
            eventsQueue: "$this->own-events",
            deadLetterExchange: "$this->own-dlq"
        );
        $delivery = new EventDelivery(new EventReader(), $dispatcher, new TracingService(), 2, 0.001);
        (new RabbitMqConsumer($amqp ?? $this->client(), $settings, $delivery))->consume($stop, $this->log);
    }

    private function prepare(): void
    {
        foreach (['inbox', 'events'] as $name) {
            $this->amqp->ensureExchange("$this->own-$name");
            $this->amqp->ensureQueue("$this->own-$name", "$this->own-$name", "$this->own-$name");
        }
    }

    /**
     * @param array<string, mixed> $document
     */
    private function publish(string $name, array $document): void
    {
        $exchange = "$this->own-$name";
        $routed = $this->amqp->publish($exchange, $exchange, Json::encode($document), [], $document['event_id']);
        self::assertTrue($routed);
    }

    /**
     * Ends the connection of a client without its knowledge.
     */
    private static function broken(PhpAmqplibClient $amqp): void
    {
        $connection = (new \ReflectionProperty($amqp, 'connection'))->getValue($amqp);
        $socket = $connection->getIO()->getSocket();
        stream_socket_shutdown($socket, \STREAM_SHUT_RDWR);
    }

    private function client(): PhpAmqplibClient
    {
        return new PhpAmqplibClient(AmqpDsn::parse($this->dsn), 60);
    }

    /**
     * @return array{string, int, string, string, string}
     */
    private function parts(): array
    {
        $dsn = AmqpDsn::parse($this->dsn);

        return [$dsn->host, $dsn->port, $dsn->user, $dsn->password, $dsn->vhost];
    }

    /**
     * @return list<string|null>
     */
    private function handled(): array
    {
        return array_map(static fn (WebsocketEvent $event) => $event->getEventId(), $this->listener->events);
    }
}
