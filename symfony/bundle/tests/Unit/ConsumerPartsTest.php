<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Unit;

use PHPUnit\Framework\TestCase;
use Psr\Log\NullLogger;
use Snoke\WsBundle\Consumer\ConsumerLogger;
use Snoke\WsBundle\Consumer\EventDelivery;
use Snoke\WsBundle\Consumer\Outcome;
use Snoke\WsBundle\Consumer\Stop;
use Snoke\WsBundle\Event\EventReader;
use Snoke\WsBundle\Event\WebsocketMessageReceivedEvent;
use Snoke\WsBundle\Json;
use Snoke\WsBundle\Service\TracingService;
use Snoke\WsBundle\Tests\App\Documents;
use Snoke\WsBundle\Tests\App\Recorder;
use Symfony\Component\EventDispatcher\EventDispatcher;

final class ConsumerPartsTest extends TestCase
{
    public function testAListenerIsTriedAgainUntilItSucceeds(): void
    {
        $calls = 0;
        $resets = 0;
        $delivery = $this->delivery(static function () use (&$calls): void {
            if (++$calls < 3) {
                throw new \RuntimeException('not yet');
            }
        }, 5, static function () use (&$resets): void {
            ++$resets;
        });
        $waits = 0;
        $result = $delivery->deliver(
            Json::encode(Documents::message()),
            [],
            new Stop(),
            new NullLogger(),
            static function () use (&$waits): void {
                ++$waits;
            }
        );
        self::assertSame([Outcome::Done, 3, 2, 3], [$result->outcome, $calls, $waits, $resets]);
    }

    public function testAListenerThatNeverSucceedsMakesADeadLetter(): void
    {
        $log = new Recorder();
        $delivery = $this->delivery(static fn () => throw new \DomainException('never'), 2);
        $result = $delivery->deliver(Json::encode(Documents::message()), ['id' => '1-1'], new Stop(), $log);
        self::assertSame([Outcome::Dead, 'listener_failed'], [$result->outcome, $result->reason]);
        self::assertCount(2, $log->lines);
        self::assertStringContainsString('DomainException: never', $log->text());
    }

    public function testAStopInterruptsTheRetries(): void
    {
        $stop = new Stop();
        $delivery = $this->delivery(static function () use ($stop): void {
            $stop->ask();
            throw new \RuntimeException('no');
        }, 5);
        $result = $delivery->deliver(Json::encode(Documents::message()), [], $stop, new NullLogger());
        self::assertSame(Outcome::Interrupted, $result->outcome);
    }

    public function testWhatIsNoEventIsDeadAtOnceAndWhatIsUnknownIsDone(): void
    {
        $delivery = $this->delivery(static fn () => null, 5);
        $result = $delivery->deliver('{', [], new Stop(), new NullLogger());
        self::assertSame([Outcome::Dead, 'parse_error'], [$result->outcome, $result->reason]);
        $result = $delivery->deliver('{"type":"later"}', [], new Stop(), new NullLogger());
        self::assertSame(Outcome::Done, $result->outcome);
    }

    public function testAStopKnowsItsLimits(): void
    {
        $stop = new Stop(2);
        self::assertSame([false, 2], [$stop->requested(), $stop->atMost(10)]);
        $stop->count();
        self::assertSame([false, 1], [$stop->requested(), $stop->atMost(10)]);
        $stop->count();
        self::assertTrue($stop->requested());
        self::assertFalse((new Stop(0, 60))->requested());
        $short = new Stop(0, 0.01);
        $short->sleep(60);
        self::assertTrue($short->requested());
    }

    public function testASignalIsAStop(): void
    {
        $stop = new Stop();
        self::assertTrue($stop->listen());
        try {
            posix_kill((int) getmypid(), \SIGTERM);
            $stop->sleep(60);
            self::assertTrue($stop->requested());
        } finally {
            $stop->release();
        }
        self::assertSame(\SIG_DFL, pcntl_signal_get_handler(\SIGTERM));
    }

    public function testALineIsOneObjectWhateverIsInIt(): void
    {
        $stream = fopen('php://memory', 'w+');
        $application = new Recorder();
        $logger = new ConsumerLogger($stream, 'notice', $application);
        $logger->info('not shown');
        $logger->notice('shown {what}', ['what' => "a\nb"]);
        $logger->error('both', ['exception' => new \RuntimeException('x'), 'bad' => "\xff"]);
        rewind($stream);
        $lines = array_map(
            static fn (string $line) => json_decode($line, true),
            explode("\n", trim((string) stream_get_contents($stream)))
        );
        self::assertSame(['shown a' . "\n" . 'b', 'both'], array_column($lines, 'message'));
        self::assertArrayNotHasKey('exception', $lines[1]);
        self::assertSame(['both'], array_column($application->lines, 'message'));
    }

    private function delivery(callable $listener, int $attempts, ?\Closure $reset = null): EventDelivery
    {
        $dispatcher = new EventDispatcher();
        $dispatcher->addListener(WebsocketMessageReceivedEvent::class, $listener);

        return new EventDelivery(new EventReader(), $dispatcher, new TracingService(), $attempts, 0.001, $reset);
    }
}
