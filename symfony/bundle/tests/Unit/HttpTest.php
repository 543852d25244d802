<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Unit;

use PHPUnit\Framework\TestCase;
use Snoke\WsBundle\Contract\PublisherInterface;
use Snoke\WsBundle\Exception\GatewayRefused;
use Snoke\WsBundle\Exception\GatewayUnreachable;
use Snoke\WsBundle\Exception\PresenceFailed;
use Snoke\WsBundle\Exception\PublishFailed;
use Snoke\WsBundle\Publication;
use Snoke\WsBundle\Service\GatewayApi;
use Snoke\WsBundle\Service\HttpPresenceProvider;
use Snoke\WsBundle\Service\HttpPublisher;
use Snoke\WsBundle\Service\PresenceInterpreter;
use Snoke\WsBundle\Service\SimpleSubjectKeyResolver;
use Snoke\WsBundle\Service\TracingService;
use Snoke\WsBundle\Service\WebsocketPublisher;
use Snoke\WsBundle\Settings\HttpSettings;
use Symfony\Component\HttpClient\MockHttpClient;
use Symfony\Component\HttpClient\Response\MockResponse;
use Symfony\Contracts\HttpClient\Exception\ClientExceptionInterface;
use Symfony\Contracts\HttpClient\Exception\ServerExceptionInterface;
use Symfony\Contracts\HttpClient\Exception\TransportExceptionInterface;

/**
 * What goes to the gateway over HTTP, and what its answers become.
 */
final class HttpTest extends TestCase
{
    /** @var list<array{string, string, array<string, mixed>}> */
    private array $requests = [];

    public function testAPublicationHasTheKeyInHeaderAndBody(): void
    {
        $publisher = $this->publisher('{"sent":3}');
        self::assertSame(3, $publisher->send(['42', 'channel:news', 'user:42'], ['text' => 'Grüße/<b>', 'n' => 1.0]));
        [$method, $url, $options] = $this->requests[0];
        self::assertSame(['POST', 'http://g:8180/internal/publish'], [$method, $url]);
        self::assertSame(['X-Api-Key: k'], $options['normalized_headers']['x-api-key']);
        self::assertSame(['Content-Type: application/json'], $options['normalized_headers']['content-type']);
        self::assertSame(
            '{"subjects":["user:42","channel:news"],"payload":{"text":"Grüße/<b>","n":1.0},"api_key":"k"}',
            $options['body']
        );
        self::assertSame(0, $options['max_redirects']);
    }

    public function testExceptAndTraceGoAlong(): void
    {
        $tracing = new TracingService();
        $publisher = $this->publisher('{"sent":0}', tracing: $tracing);
        $tracing->within('00-a-b-01', fn () => $publisher->send([1], null, except: ['c-1']));
        $publisher->send([1], null, traceparent: '00-c-d-01');
        $publisher->send([1], null);
        self::assertSame(
            '{"subjects":["user:1"],"payload":null,"traceparent":"00-a-b-01","except":["c-1"],"api_key":"k"}',
            $this->requests[0][2]['body']
        );
        self::assertStringContainsString('"traceparent":"00-c-d-01"', $this->requests[1][2]['body']);
        self::assertStringNotContainsString('traceparent', $this->requests[2][2]['body']);
    }

    /**
     * With a stand-in for open-telemetry/api, which Debian does not have.
     */
    public function testTheSpanOfOpenTelemetryCountsFirstWhereItIsWanted(): void
    {
        if (!class_exists(\OpenTelemetry\API\Trace\Propagation\TraceContextPropagator::class)) {
            self::assertFalse((new TracingService(true))->isEnabled());
            eval('namespace OpenTelemetry\API\Trace\Propagation; class TraceContextPropagator {'
                . ' public static function getInstance(): self { return new self(); }'
                . ' public function inject(array &$carrier): void { $carrier["traceparent"] = "00-o-t-01"; } }');
        }
        $wanted = new TracingService(true);
        self::assertSame('00-o-t-01', $wanted->within('00-a-b-01', $wanted->currentTraceparent(...)));
        $unwanted = new TracingService();
        self::assertSame('00-a-b-01', $unwanted->within('00-a-b-01', $unwanted->currentTraceparent(...)));
    }

    public function testManyPublicationsAreFewRequests(): void
    {
        $publisher = $this->publisher(static function (string $method, string $url, array $options): MockResponse {
            $asked = json_decode($options['body'], true);

            return new MockResponse(json_encode([
                'sent' => isset($asked['publications']) ? array_column($asked['publications'], 'payload') : 7,
            ]));
        });
        $numbers = range(1, 1_000);
        $sent = $publisher->sendAll(array_map(static fn (int $n) => new Publication([$n], $n), [...$numbers, 1_001]));
        self::assertSame([...$numbers, 7], $sent);
        self::assertSame(
            ['http://g:8180/internal/publish/batch', 'http://g:8180/internal/publish'],
            array_column($this->requests, 1)
        );
        self::assertSame([], $publisher->sendAll([]));
    }

    public function testADisconnectNamesWhom(): void
    {
        $publisher = $this->publisher('{"disconnected":2}');
        self::assertSame(2, $publisher->disconnect(userId: 'a/b', code: 4001, reason: 'moved'));
        self::assertSame('http://g:8180/internal/disconnect', $this->requests[0][1]);
        self::assertSame('{"user_id":"a/b","code":4001,"reason":"moved"}', $this->requests[0][2]['body']);
        $this->expectException(\InvalidArgumentException::class);
        $publisher->disconnect();
    }

    /**
     * @dataProvider refusals
     *
     * @param class-string<\Throwable> $class
     */
    public function testARefusalIsAnExceptionOfBothFamilies(int $status, string $class): void
    {
        $detail = '{"type":"about:blank","title":"x","status":0,"detail":"the key is wrong"}';
        try {
            $this->publisher(new MockResponse($detail, ['http_code' => $status]))->send([1], 1);
            self::fail('it was taken');
        } catch (PublishFailed $failed) {
            self::assertInstanceOf($class, $failed);
            self::assertStringContainsString("$status: the key is wrong", $failed->getMessage());
        }
    }

    /**
     * @return iterable<array{int, class-string<\Throwable>}>
     */
    public static function refusals(): iterable
    {
        yield [401, ClientExceptionInterface::class];
        yield [503, ServerExceptionInterface::class];
        yield [302, GatewayRefused::class];
    }

    public function testNoAnswerIsAnExceptionWithoutThePassword(): void
    {
        $response = new MockResponse('', ['error' => 'no connection to http://any:canary@g:8180/internal/publish']);
        try {
            $this->publisher($response)->send([1], 1);
            self::fail('it was taken');
        } catch (GatewayUnreachable $failed) {
            self::assertInstanceOf(TransportExceptionInterface::class, $failed);
            self::assertStringNotContainsString('canary', $failed->getMessage());
        }
    }

    public function testAnAnswerOfSomebodyElseIsAFailure(): void
    {
        $this->expectException(PublishFailed::class);
        $this->publisher(new MockResponse('<html>'))->send([1], 1);
    }

    public function testWhatIsNoJsonNeverLeaves(): void
    {
        try {
            $this->publisher('{"sent":1}')->send([1], \NAN);
            self::fail('it was taken');
        } catch (\InvalidArgumentException) {
            self::assertSame([], $this->requests);
        }
    }

    public function testAnApplicationsOwnTransportIsEnoughToSend(): void
    {
        $own = new class () implements PublisherInterface {
            /** @var list<mixed> */
            public array $seen = [];

            public function publish(array $subjectKeys, mixed $payload): void
            {
                $this->seen[] = [$subjectKeys, $payload];
            }
        };
        $publisher = new WebsocketPublisher($own, new SimpleSubjectKeyResolver());
        self::assertNull($publisher->send(['42'], 'x'));
        $publisher->sendToChannel('news', 'y');
        $publisher->sendToUser('channel:x', 'z');
        $publisher->sendToEverybody('!');
        self::assertSame(
            [[['user:42'], 'x'], [['channel:news'], 'y'], [['user:channel:x'], 'z'], [['*'], '!']],
            $own->seen
        );
    }

    public function testPresenceHasOneShape(): void
    {
        $entry = '{"connection_id":"c","user_id":"42","subjects":["user:42"],"connected_at":1,"last_seen_at":2,"x":1}';
        $presence = $this->presence("{\"connections\":[$entry,{\"odd\":true}],\"next_cursor\":null}");
        self::assertSame(['connections' => [[
            'connection_id' => 'c',
            'user_id' => '42',
            'subjects' => ['user:42'],
            'connected_at' => 1,
            'last_seen_at' => 2,
            'client_ip' => null,
        ]]], $presence->listConnections('channel:a&b', '42'));
        self::assertSame(
            'http://g:8180/internal/connections?subject=channel:a%26b&user_id=42',
            str_replace('%3A', ':', $this->requests[0][1])
        );
        $presence->listConnections('', null);
        self::assertSame('http://g:8180/internal/connections', $this->requests[1][1]);
    }

    public function testAUserIdIsEscaped(): void
    {
        $presence = $this->presence('{"connections":[]}');
        foreach (['a?b#c d', 'a/b', '..'] as $id) {
            $presence->listConnectionsForUser($id);
        }
        self::assertSame([
            'http://g:8180/internal/users/a%3Fb%23c%20d/connections',
            'http://g:8180/internal/connections?user_id=a/b',
            'http://g:8180/internal/connections?user_id=..',
        ], array_map(static fn (array $request) => str_replace('%2F', '/', $request[1]), $this->requests));
        self::assertSame(['connections' => []], $presence->listConnectionsForUser(''));
    }

    /**
     * An error in JSON is no list of connections.
     */
    public function testARefusedQuestionIsAnException(): void
    {
        $answers = [
            new MockResponse('{"detail":"no"}', ['http_code' => 401]),
            new MockResponse('{"detail":"no"}'),
            new MockResponse('', ['error' => 'away']),
        ];
        foreach ($answers as $answer) {
            try {
                $this->presence($answer)->listConnections();
                self::fail('it was believed');
            } catch (PresenceFailed) {
                $this->addToAssertionCount(1);
            }
        }
    }

    public function testAConnectionThatTheGatewayListsWithoutATimeIsAlive(): void
    {
        $old = '{"connections":[{"connection_id":"c","user_id":"1","subjects":[],"connected_at":1}]}';
        foreach (['none', 'ttl', 'heartbeat', 'session'] as $strategy) {
            $presence = $this->presence($old, new PresenceInterpreter($strategy));
            self::assertCount(1, $presence->listConnections()['connections'], $strategy);
        }
    }

    private function publisher(
        string|callable|MockResponse $answer,
        ?TracingService $tracing = null
    ): WebsocketPublisher {
        $tracing ??= new TracingService();
        $publisher = new HttpPublisher($this->api($answer), $tracing);

        return new WebsocketPublisher($publisher, new SimpleSubjectKeyResolver(), 'user:', $tracing);
    }

    private function presence(
        string|MockResponse $answer,
        PresenceInterpreter $interpreter = new PresenceInterpreter()
    ): HttpPresenceProvider {
        return new HttpPresenceProvider($this->api($answer), $interpreter);
    }

    private function api(string|callable|MockResponse $answer): GatewayApi
    {
        $client = new MockHttpClient(function (string $method, string $url, array $options) use ($answer) {
            $this->requests[] = [$method, $url, $options];

            return match (true) {
                \is_string($answer) => new MockResponse($answer),
                $answer instanceof MockResponse => $answer,
                default => $answer($method, $url, $options),
            };
        });

        return new GatewayApi($client, new HttpSettings('http://g:8180', 'k'));
    }
}
