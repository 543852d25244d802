<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Unit;

use PHPUnit\Framework\TestCase;
use Snoke\WsBundle\Event\EventReader;
use Snoke\WsBundle\Event\WebsocketConnectionClosedEvent;
use Snoke\WsBundle\Event\WebsocketConnectionEstablishedEvent;
use Snoke\WsBundle\Event\WebsocketMessageReceivedEvent;
use Snoke\WsBundle\Exception\EventInvalid;
use Snoke\WsBundle\Exception\EventUnknown;
use Snoke\WsBundle\Json;
use Snoke\WsBundle\Tests\App\Documents;

final class EventReaderTest extends TestCase
{
    public function testAMessageHasAllFields(): void
    {
        $event = (new EventReader())->read(Json::encode(Documents::message([
            'traceparent' => '00-1-2-01',
            'ordering_key' => 'room:1',
            'ordering_strategy' => 'topic',
            'client_ip' => '192.0.2.7',
            'claims' => ['tenant' => 'acme'],
            'internal_id' => '123',
        ])));
        self::assertInstanceOf(WebsocketMessageReceivedEvent::class, $event);
        self::assertSame('8d0c2f0e-9f1c-4f6e-8f0a-2f4d6c1f7a10', $event->getConnectionId());
        self::assertSame('42', $event->getUserId());
        self::assertSame(['user:42', 'channel:news'], $event->getSubjects());
        self::assertSame(1_700_000_000, $event->getConnectedAt());
        self::assertSame('0190a0b0-5c1e-7c3a-9f41-2f6d3f0f7a11', $event->getEventId());
        self::assertSame(1_700_000_001_234, $event->getOccurredAtMs());
        self::assertSame('gw-1', $event->getNodeId());
        self::assertSame(1, $event->getSeq());
        self::assertSame(['type' => 'chat', 'payload' => 'hello world'], $event->getMessage());
        self::assertSame('{"type":"chat","payload":"hello world"}', $event->getRaw());
        self::assertSame('00-1-2-01', $event->getTraceparent());
        self::assertSame('room:1', $event->getOrderingKey());
        self::assertSame('topic', $event->getOrderingStrategy());
        self::assertSame('192.0.2.7', $event->getClientIp());
        self::assertSame(['tenant' => 'acme'], $event->getClaims());
        self::assertSame('123', $event->getDocument()['internal_id']);
    }

    public function testADisconnectionSaysWhy(): void
    {
        $event = (new EventReader())->read(Json::encode(Documents::disconnected(['seq' => null])));
        self::assertInstanceOf(WebsocketConnectionClosedEvent::class, $event);
        self::assertSame([1000, 'bye', 'client'], [$event->getCode(), $event->getReason(), $event->getCause()]);
        self::assertNull($event->getSeq());
    }

    public function testTheEndOfALostNodeHasNoPlaceAmongTheEvents(): void
    {
        $event = (new EventReader())->read(
            '{"type":"disconnected","connection_id":"c","user_id":"42","subjects":["user:42"],"connected_at":1,'
            . '"node_id":"gw-1","event_id":"e","occurred_at_ms":1700000000000,"seq":null,"code":1006,"reason":"",'
            . '"cause":"node_lost"}'
        );
        self::assertInstanceOf(WebsocketConnectionClosedEvent::class, $event);
        self::assertSame([1006, '', 'node_lost'], [$event->getCode(), $event->getReason(), $event->getCause()]);
        self::assertSame([null, 'gw-1'], [$event->getSeq(), $event->getNodeId()]);
    }

    public function testTheFieldsThatEveryGatewaySendsAreEnough(): void
    {
        $event = (new EventReader())->read(
            '{"type":"connected","connection_id":"c","user_id":"42","subjects":[],"connected_at":1}'
        );
        self::assertInstanceOf(WebsocketConnectionEstablishedEvent::class, $event);
        self::assertNull($event->getEventId());
        self::assertNull($event->getClaims());
    }

    public function testNumbersBeyond64BitsKeepTheirDigits(): void
    {
        $text = str_replace('"hello world"', '12345678901234567890123', Json::encode(Documents::message([
            'raw' => '',
        ])));
        self::assertSame('12345678901234567890123', (new EventReader())->read($text)->getMessage()['payload']);
    }

    public function testAMessageMayNestAsDeepAsTheGatewayAllows(): void
    {
        $deep = str_repeat('[', 1_023) . str_repeat(']', 1_023);
        $text = str_replace('"hello world"', $deep, Json::encode(Documents::message(['raw' => ''])));
        self::assertIsArray((new EventReader())->read($text)->getMessage()['payload']);
    }

    public function testATypeFromTheFutureIsAnErrorOfItsOwn(): void
    {
        $this->expectException(EventUnknown::class);
        (new EventReader())->read('{"type":"subscribed"}');
    }

    public function testTheErrorNamesTheFieldAndQuotesNothing(): void
    {
        $this->expectExceptionObject(new EventInvalid('user_id is not of type string'));
        (new EventReader())->read(Json::encode(Documents::message(['user_id' => ['canary']])));
    }

    /**
     * Tests of applications make events with the constructors that they have always had.
     */
    public function testTheOldConstructorsWork(): void
    {
        $message = new WebsocketMessageReceivedEvent('c', '42', ['user:42'], 1, ['type' => 'chat'], '{}');
        self::assertSame(['type' => 'chat'], $message->getMessage());
        self::assertNull($message->getOrderingKey());
        self::assertSame([], $message->getDocument());
        self::assertSame('42', (new WebsocketConnectionEstablishedEvent('c', '42', [], 1))->getUserId());
        self::assertNull((new WebsocketConnectionClosedEvent('c', '42', [], 1))->getCode());
    }
}
