<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Container;

use Snoke\WsBundle\Event\WebsocketConnectionClosedEvent;
use Snoke\WsBundle\Event\WebsocketConnectionEstablishedEvent;
use Snoke\WsBundle\Event\WebsocketMessageReceivedEvent;
use Snoke\WsBundle\Json;
use Snoke\WsBundle\Service\TracingService;
use Snoke\WsBundle\Tests\App\Documents;
use Snoke\WsBundle\Tests\App\Kernel;
use Snoke\WsBundle\Tests\App\Listener;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;

/**
 * Webhooks through the kernel and the router.
 */
final class WebhookTest extends ContainerCase
{
    private const SECRET = 'a secret of the tests';

    public function testASignedEventReachesTheListeners(): void
    {
        $kernel = $this->boot([], ['SYMFONY_WEBHOOK_SECRET' => self::SECRET]);
        foreach ([Documents::connected(), Documents::message(), Documents::disconnected()] as $document) {
            $body = Json::encode($document);
            self::assertAnswer(200, '{"ok":true}', $this->post($kernel, $body, self::older($body)));
        }
        [$connected, $message, $closed] = $kernel->getContainer()->get(Listener::class)->events;
        self::assertInstanceOf(WebsocketConnectionEstablishedEvent::class, $connected);
        self::assertInstanceOf(WebsocketMessageReceivedEvent::class, $message);
        self::assertSame(['type' => 'chat', 'payload' => 'hello world'], $message->getMessage());
        self::assertInstanceOf(WebsocketConnectionClosedEvent::class, $closed);
        self::assertSame('client', $closed->getCause());
    }

    public function testTheStandardFormIsTakenAndExpires(): void
    {
        $kernel = $this->boot([], ['SYMFONY_WEBHOOK_SECRET' => self::SECRET]);
        $body = Json::encode(Documents::message());
        self::assertAnswer(200, '{"ok":true}', $this->post($kernel, $body, self::standard($body, time())));
        $refused = '{"ok":false,"message":"invalid signature"}';
        self::assertAnswer(401, $refused, $this->post($kernel, $body, self::standard($body, time() - 400)));
        self::assertCount(1, $kernel->getContainer()->get(Listener::class)->events);
    }

    public function testWhatIsNotSignedIsRefused(): void
    {
        $kernel = $this->boot([], ['SYMFONY_WEBHOOK_SECRET' => self::SECRET]);
        $body = Json::encode(Documents::message());
        $missing = '{"ok":false,"message":"missing signature"}';
        self::assertAnswer(401, $missing, $this->post($kernel, $body));
        $invalid = '{"ok":false,"message":"invalid signature"}';
        self::assertAnswer(401, $invalid, $this->post($kernel, "$body ", self::older($body)));
        self::assertSame([], $kernel->getContainer()->get(Listener::class)->events);
    }

    /**
     * With real environment variables and PHP's production settings nothing stands in $_ENV; no secret must not mean
     * no signature.
     */
    public function testNoSecretMeansThatNothingIsTaken(): void
    {
        $kernel = $this->boot([], ['SYMFONY_WEBHOOK_SECRET' => ' ']);
        $body = Json::encode(Documents::message());
        $answer = '{"ok":false,"message":"no webhook secret is configured"}';
        self::assertAnswer(401, $answer, $this->post($kernel, $body));
        self::assertAnswer(401, $answer, $this->post($kernel, $body, [
            'X-Webhook-Signature' => 'sha256=' . hash_hmac('sha256', $body, ''),
        ]));
        self::assertStringContainsString('SYMFONY_WEBHOOK_SECRET', $kernel->getContainer()->get('logger')->text());
    }

    public function testTheSignatureCanBeSwitchedOffInSoManyWords(): void
    {
        $body = Json::encode(Documents::message());
        $kernel = $this->boot(['events' => ['webhook' => ['signature' => 'off']]]);
        self::assertAnswer(200, '{"ok":true}', $this->post($kernel, $body));
        $kernel = $this->boot("snoke_ws:\n  events:\n    webhook:\n      signature: off\n");
        self::assertAnswer(200, '{"ok":true}', $this->post($kernel, $body));
    }

    public function testThePreviousSecretIsGoodWhileItChanges(): void
    {
        $environment = ['SYMFONY_WEBHOOK_SECRET' => 'the next one', 'WEBHOOK_SECRET_PREVIOUS' => self::SECRET];
        $kernel = $this->boot([], $environment);
        $body = Json::encode(Documents::message());
        self::assertAnswer(200, '{"ok":true}', $this->post($kernel, $body, self::older($body)));
        self::assertAnswer(200, '{"ok":true}', $this->post($kernel, $body, self::standard($body, time())));
    }

    public function testASecretThatCannotBeUsedHoldsEventsBack(): void
    {
        $kernel = $this->boot([], ['SYMFONY_WEBHOOK_SECRET' => 'whsec_?']);
        $body = Json::encode(Documents::message());
        self::assertSame(503, $this->post($kernel, $body, self::older($body))->getStatusCode());
    }

    /**
     * @dataProvider badBodies
     */
    public function testABodyThatIsNoEventIs400(string $body, string $reason): void
    {
        $kernel = $this->boot([], ['SYMFONY_WEBHOOK_SECRET' => self::SECRET]);
        $answer = $this->post($kernel, $body, self::older($body));
        self::assertSame(400, $answer->getStatusCode());
        self::assertStringContainsString($reason, (string) $answer->getContent());
        self::assertSame([], $kernel->getContainer()->get(Listener::class)->events);
    }

    /**
     * @return iterable<array{string, string}>
     */
    public static function badBodies(): iterable
    {
        yield ['{"type":', 'not JSON'];
        yield ['', 'not JSON'];
        yield ["{\"type\":\"\xff\"}", 'not JSON'];
        yield ['[]', 'no JSON object'];
        yield ['{}', 'type is missing'];
        yield [Json::encode(Documents::message(['subjects' => 'user:42'])), 'subjects is not of type object'];
        yield [Json::encode(Documents::message(['subjects' => ['a' => 'b']])), 'subjects is not a list of strings'];
        yield [Json::encode(Documents::message(['connected_at' => '1'])), 'connected_at is not of type integer'];
        yield [Json::encode(Documents::message(['message' => null])), 'message is missing'];
    }

    public function testATypeFromTheFutureIsTakenAndPassedOver(): void
    {
        $kernel = $this->boot([], ['SYMFONY_WEBHOOK_SECRET' => self::SECRET]);
        $body = Json::encode(['type' => 'subscribed', 'connection_id' => 'x']);
        self::assertAnswer(200, '{"ok":true}', $this->post($kernel, $body, self::older($body)));
    }

    public function testABodyThatIsTooLargeIs413(): void
    {
        $kernel = $this->boot(['events' => ['webhook' => ['max_bytes' => 100]]], [
            'SYMFONY_WEBHOOK_SECRET' => self::SECRET,
        ]);
        $body = Json::encode(Documents::message());
        self::assertSame(413, $this->post($kernel, $body, self::older($body))->getStatusCode());
        $announced = self::older($body) + ['Content-Length' => '1000000000'];
        self::assertSame(413, $this->post($kernel, 'short', $announced)->getStatusCode());
    }

    public function testInCoreModeThereIsNoWebhook(): void
    {
        $kernel = $this->boot([], ['WS_MODE' => 'core', 'SYMFONY_WEBHOOK_SECRET' => self::SECRET]);
        $body = Json::encode(Documents::message());
        $answer = '{"ok":false,"message":"webhook disabled"}';
        self::assertAnswer(404, $answer, $this->post($kernel, $body, self::older($body)));
    }

    public function testAListenerThatFailsIs500(): void
    {
        $kernel = $this->boot([], ['SYMFONY_WEBHOOK_SECRET' => self::SECRET]);
        $kernel->getContainer()->get(Listener::class)->first = static function (): void {
            throw new \RuntimeException('the database is away');
        };
        $body = Json::encode(Documents::message());
        self::assertSame(500, $this->post($kernel, $body, self::older($body))->getStatusCode());
    }

    public function testListenersPublishInTheTraceOfTheEvent(): void
    {
        $kernel = $this->boot([], ['SYMFONY_WEBHOOK_SECRET' => self::SECRET]);
        $tracing = $kernel->getContainer()->get(TracingService::class);
        $seen = null;
        $kernel->getContainer()->get(Listener::class)->first = static function () use ($tracing, &$seen): void {
            $seen = $tracing->currentTraceparent();
        };
        $traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
        $body = Json::encode(Documents::message(['traceparent' => $traceparent]));
        $this->post($kernel, $body, self::older($body));
        self::assertSame($traceparent, $seen);
        self::assertNull($tracing->currentTraceparent());
    }

    public function testOnlyPostIsRouted(): void
    {
        $kernel = $this->boot();
        self::assertSame(405, $kernel->handle(Request::create('/internal/ws/events'))->getStatusCode());
    }

    /**
     * @param array<string, string> $headers
     */
    private function post(Kernel $kernel, string $body, array $headers = []): Response
    {
        $request = Request::create('/internal/ws/events', 'POST', [], [], [], [], $body);
        $request->headers->add($headers);

        return $kernel->handle($request);
    }

    private static function assertAnswer(int $status, string $body, Response $answer): void
    {
        self::assertSame($body, $answer->getContent());
        self::assertSame($status, $answer->getStatusCode());
    }

    /**
     * @return array<string, string>
     */
    private static function older(string $body): array
    {
        return ['X-Webhook-Signature' => 'sha256=' . hash_hmac('sha256', $body, self::SECRET)];
    }

    /**
     * @return array<string, string>
     */
    private static function standard(string $body, int $timestamp): array
    {
        $signature = base64_encode(hash_hmac('sha256', "id-1.$timestamp.$body", self::SECRET, true));

        return [
            'webhook-id' => 'id-1',
            'webhook-timestamp' => (string) $timestamp,
            'webhook-signature' => "v1,AAAA v1,$signature",
        ];
    }
}
