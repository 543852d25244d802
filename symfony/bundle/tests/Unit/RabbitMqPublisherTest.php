<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Unit;

use PHPUnit\Framework\TestCase;
use Snoke\WsBundle\Amqp\AmqpClientInterface;
use Snoke\WsBundle\Exception\AmqpTimedOut;
use Snoke\WsBundle\Exception\AmqpUnavailable;
use Snoke\WsBundle\Exception\PublishFailed;
use Snoke\WsBundle\Service\RabbitMqPublisher;

/**
 * When a publication is tried again, and when that would only send it twice.
 */
final class RabbitMqPublisherTest extends TestCase
{
    /**
     * @dataProvider failures
     */
    public function testOnlyAConnectionThatBrokeIsTriedAnew(AmqpUnavailable $failure, int $publishes): void
    {
        $amqp = $this->createMock(AmqpClientInterface::class);
        $calls = 0;
        $amqp->method('publish')->willReturnCallback(static function () use (&$calls, $failure): bool {
            return 1 === ++$calls ? true : throw $failure;
        });
        $publisher = new RabbitMqPublisher($amqp);
        $publisher->publish(['user:1'], 1);
        try {
            $publisher->publish(['user:1'], 2);
            self::fail('it was taken');
        } catch (PublishFailed $failed) {
            self::assertStringContainsString('trouble', $failed->getMessage());
        }
        self::assertSame(1 + $publishes, $calls);
    }

    /**
     * @return iterable<string, array{AmqpUnavailable, int}>
     */
    public static function failures(): iterable
    {
        yield 'broken' => [new AmqpUnavailable('trouble'), 2];
        yield 'silent' => [new AmqpTimedOut('trouble'), 1];
    }
}
