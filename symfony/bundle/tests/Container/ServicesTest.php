<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Container;

use Snoke\WsBundle\Contract\PresenceProviderInterface;
use Snoke\WsBundle\Contract\PresenceWriterInterface;
use Snoke\WsBundle\Contract\PublisherInterface;
use Snoke\WsBundle\Contract\SubjectKeyResolverInterface;
use Snoke\WsBundle\Contract\UserResolverInterface;
use Snoke\WsBundle\Service\DemoTokenService;
use Snoke\WsBundle\Service\InboxConsumer;
use Snoke\WsBundle\Service\NullPresenceWriter;
use Snoke\WsBundle\Service\RedisPresenceWriter;
use Snoke\WsBundle\Service\TracingService;
use Snoke\WsBundle\Service\WebsocketPublisher;
use Symfony\Bundle\FrameworkBundle\Console\Application;
use Symfony\Component\Console\Tester\CommandTester;

/**
 * The service ids and class names that applications know.
 */
final class ServicesTest extends ContainerCase
{
    private const ENVIRONMENT = [
        'WS_GATEWAY_BASE_URL' => 'http://127.0.0.1:1',
        'WS_GATEWAY_API_KEY' => 'k',
        'WS_REDIS_DSN' => 'redis://127.0.0.1:1',
        'WS_RABBITMQ_DSN' => 'amqp://127.0.0.1:1',
    ];

    public function testEveryKnownServiceCanBeMadeWithoutAnyServer(): void
    {
        $container = $this->boot([], self::ENVIRONMENT)->getContainer();
        foreach (['http', 'redis_stream', 'rabbitmq', 'dynamic'] as $name) {
            self::assertInstanceOf(PublisherInterface::class, $container->get("snoke_ws.{$name}_publisher"));
        }
        foreach (['http', 'redis'] as $name) {
            self::assertInstanceOf(PresenceProviderInterface::class, $container->get("snoke_ws.{$name}_presence"));
        }
        self::assertInstanceOf(InboxConsumer::class, $container->get('snoke_ws.inbox_consumer'));
        self::assertInstanceOf(DemoTokenService::class, $container->get('snoke_ws.demo_token_service'));
        $aliases = [
            WebsocketPublisher::class, PresenceProviderInterface::class, PresenceWriterInterface::class,
            TracingService::class, DemoTokenService::class, PublisherInterface::class,
            SubjectKeyResolverInterface::class, UserResolverInterface::class,
        ];
        foreach ($aliases as $name) {
            self::assertInstanceOf($name, $container->get($name));
        }
    }

    public function testThePresenceWriterFollowsTheEnvironment(): void
    {
        $writer = ['presence' => ['writer' => ['type' => '%env(default::TEST_WRITER)%']]];
        $container = $this->boot($writer, self::ENVIRONMENT)->getContainer();
        self::assertInstanceOf(NullPresenceWriter::class, $container->get(PresenceWriterInterface::class));

        putenv('TEST_WRITER=redis');
        $container = $this->boot($writer, self::ENVIRONMENT)->getContainer();
        self::assertInstanceOf(RedisPresenceWriter::class, $container->get(PresenceWriterInterface::class));
        putenv('TEST_WRITER');
    }

    public function testNothingThatSymfonyDeprecatedIsUsed(): void
    {
        $deprecations = [];
        set_error_handler(static function (int $level, string $message) use (&$deprecations): bool {
            // Debian's packages were not put there by Composer.
            if (!str_contains($message, 'Composer Runtime API')) {
                $deprecations[] = $message;
            }

            return true;
        }, \E_USER_DEPRECATED | \E_DEPRECATED);
        try {
            // A container of its own, which is compiled now.
            $kernel = $this->boot(['subjects' => ['prefixes' => ['order:']]], self::ENVIRONMENT);
            (new Application($kernel))->find('ws:consume');
            $kernel->handle(\Symfony\Component\HttpFoundation\Request::create('/internal/ws/events', 'POST'));
        } finally {
            restore_error_handler();
        }
        self::assertSame([], $deprecations);
    }

    public function testTheCommandIsThereAndNamesAWrongSetting(): void
    {
        $application = new Application($this->boot([], ['WS_CONSUMER_LOG_LEVEL' => 'loud']));
        $tester = new CommandTester($application->find('ws:consume'));
        self::assertSame(2, $tester->execute([]));
        self::assertStringContainsString('WS_CONSUMER_LOG_LEVEL', $tester->getDisplay());
    }

    public function testTheCommandRefusesWhatIsNoNumber(): void
    {
        $application = new Application($this->boot());
        $tester = new CommandTester($application->find('ws:consume'));
        self::assertSame(2, $tester->execute(['--limit' => '-1']));
        self::assertStringContainsString('--limit is a whole number', $tester->getDisplay());
    }

    public function testTokensAreRefusedInProd(): void
    {
        $environment = ['DEMO_JWT_ALG' => 'HS256', 'DEMO_JWT_SECRET' => 'secret'];
        $tokens = $this->boot([], $environment, 'prod')->getContainer()->get(DemoTokenService::class);
        [$jwt, $error] = $tokens->issue('42');
        self::assertSame('', $jwt);
        self::assertStringContainsString('prod', $error);

        $tokens = $this->boot([], $environment)->getContainer()->get(DemoTokenService::class);
        [$jwt, $error] = $tokens->issue('42');
        self::assertSame('', $error);
        self::assertNotSame('', $jwt);
    }
}
