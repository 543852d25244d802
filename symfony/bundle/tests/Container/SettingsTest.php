<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Container;

use Snoke\WsBundle\Exception\ConfigurationInvalid;
use Symfony\Component\Config\Definition\Exception\InvalidConfigurationException;

/**
 * The configuration root, its defaults and the environment, in real containers.
 */
final class SettingsTest extends ContainerCase
{
    private const MINIMAL = "snoke_ws:\n  subjects:\n    user_prefix: \"user:\"\n";

    /**
     * The configuration that existing applications have, for which no container of theirs loaded.
     */
    private const FULL = <<<'YAML'
        parameters:
          ws_mode_default: terminator
          ws_transport_type_default: ''
        snoke_ws:
          mode: '%env(default:ws_mode_default:WS_MODE)%'
          transport:
            type: '%env(default:ws_transport_type_default:WS_TRANSPORT_TYPE)%'
            http:
              base_url: '%env(resolve:default::WS_GATEWAY_BASE_URL)%'
              publish_path: '/internal/publish'
              timeout_seconds: 5
              auth: { type: api_key, header: 'X-Api-Key', value: '%env(resolve:default::WS_GATEWAY_API_KEY)%' }
            redis_stream:
              dsn: '%env(resolve:default::WS_REDIS_DSN)%'
              stream: '%env(string:default::WS_REDIS_STREAM)%'
          presence:
            type: '%env(default::WS_PRESENCE_TYPE)%'
            http: { base_url: '%env(default::WS_GATEWAY_BASE_URL)%', list_path: '/internal/connections' }
            redis: { dsn: '%env(default::WS_REDIS_DSN)%', prefix: '%env(default::WS_REDIS_PREFIX)%' }
          events:
            type: '%env(default::WS_EVENTS_TYPE)%'
            webhook: { tolerance_seconds: '%env(int:WEBHOOK_TOLERANCE)%' }
            redis_stream: { dsn: '%env(default::WS_REDIS_DSN)%', stream: '%env(default::WS_REDIS_EVENTS_STREAM)%' }
          subjects:
            user_prefix: 'user:'
        YAML;

    public function testTheMinimalConfigurationWorksInBothModes(): void
    {
        $settings = $this->settings(self::MINIMAL);
        self::assertSame('http', $settings->transportType());
        self::assertSame('http', $settings->presenceType());
        self::assertSame('webhook', $settings->eventsType());
        self::assertTrue($settings->webhook()->enabled);

        $settings = $this->settings(self::MINIMAL, ['WS_MODE' => 'core', 'WS_REDIS_DSN' => 'redis://r']);
        self::assertSame('redis_stream', $settings->transportType());
        self::assertSame('redis', $settings->presenceType());
        self::assertSame('redis_stream', $settings->eventsType());
        self::assertFalse($settings->webhook()->enabled);
        self::assertSame('redis://r', $settings->redisOutbox()['dsn']);
    }

    public function testOneContainerServesBothModes(): void
    {
        $first = $this->boot([], ['WS_MODE' => 'core']);
        self::assertSame('core', $first->getContainer()->get('snoke_ws.settings')->mode());
        $compiled = filemtime($first->getCacheDir());
        $first->shutdown();

        $second = $this->boot([], ['WS_MODE' => 'terminator']);
        self::assertSame('terminator', $second->getContainer()->get('snoke_ws.settings')->mode());
        self::assertSame($compiled, filemtime($second->getCacheDir()));
    }

    public function testEveryLeafMayBeAnEnvironmentVariable(): void
    {
        putenv('WEBHOOK_TOLERANCE=60');
        $settings = $this->settings(self::FULL, ['WS_MODE' => 'core', 'WS_REDIS_DSN' => 'redis://r:1']);
        self::assertSame('core', $settings->mode());
        self::assertSame('redis_stream', $settings->transportType(), 'a blank type is none');
        self::assertSame('redis://r:1', $settings->redisOutbox()['dsn']);
        self::assertSame('ws.outbox', $settings->redisOutbox()['stream']);
        self::assertSame('presence:', $settings->presenceRedis()['prefix']);
        self::assertSame(60, $settings->webhook()->tolerance);
        putenv('WEBHOOK_TOLERANCE');
    }

    public function testBlankCountsAsUnset(): void
    {
        $environment = ['WS_MODE' => '', 'EVENTS_MODE' => ' ', 'WS_TRANSPORT_TYPE' => '', 'WS_REDIS_STREAM' => ''];
        $settings = $this->settings(['mode' => '', 'transport' => ['type' => null]], $environment);
        self::assertSame('terminator', $settings->mode());
        self::assertSame('http', $settings->transportType());
        self::assertSame('webhook', $settings->eventsType());
        self::assertSame('ws.outbox', $settings->redisOutbox()['stream']);
    }

    public function testTheConfigurationWinsOverTheEnvironment(): void
    {
        $settings = $this->settings(['mode' => 'terminator'], ['WS_MODE' => 'core']);
        self::assertSame('terminator', $settings->mode());
    }

    /**
     * @dataProvider eventModes
     */
    public function testEventsFollowTheGatewaysSetting(string $mode, string $eventsMode, string $type): void
    {
        self::assertSame($type, $this->settings([], ['WS_MODE' => $mode, 'EVENTS_MODE' => $eventsMode])->eventsType());
    }

    /**
     * @return iterable<array{string, string, string}>
     */
    public static function eventModes(): iterable
    {
        yield ['terminator', '', 'webhook'];
        yield ['terminator', 'broker', 'redis_stream'];
        yield ['terminator', 'both', 'both'];
        yield ['core', '', 'redis_stream'];
        yield ['core', 'webhook', 'webhook'];
        yield ['core', 'none', 'none'];
    }

    public function testOnlyRabbitMqConfiguredMeansRabbitMq(): void
    {
        $settings = $this->settings([], ['WS_MODE' => 'core', 'RABBITMQ_DSN' => 'amqp://mq/']);
        self::assertSame('rabbitmq', $settings->transportType());
        self::assertSame('rabbitmq', $settings->eventsType());
        self::assertSame('rabbitmq', $settings->consumerBroker());
        self::assertSame('http', $settings->presenceType());
    }

    /**
     * @dataProvider wrongValues
     *
     * @param array<string, mixed>  $configuration
     * @param array<string, string> $environment
     */
    public function testAWrongValueIsNamedWhenItIsNeeded(
        array $configuration,
        array $environment,
        string $method,
        string $message
    ): void {
        $settings = $this->settings($configuration, $environment);
        $this->expectException(ConfigurationInvalid::class);
        $this->expectExceptionMessage($message);
        $settings->$method();
    }

    /**
     * @return iterable<string, array{array<string, mixed>, array<string, string>, string, string}>
     */
    public static function wrongValues(): iterable
    {
        yield 'mode' => [[], ['WS_MODE' => 'cores'], 'mode', 'snoke_ws.mode (WS_MODE) is "cores"; allowed are: termin'];
        yield 'type' => [['transport' => ['type' => 'kafka']], [], 'transportType', 'allowed are: http, redis_stream'];
        yield 'url' => [[], [], 'http', 'snoke_ws.transport.http.base_url (WS_GATEWAY_BASE_URL) is not set.'];
        yield 'key' => [[], ['WS_GATEWAY_BASE_URL' => 'http://g'], 'http', '(WS_GATEWAY_API_KEY, GATEWAY_API_KEY)'];
        yield 'time' => [
            ['transport' => ['http' => ['timeout_seconds' => 'soon']]],
            ['WS_GATEWAY_BASE_URL' => 'http://g', 'WS_GATEWAY_API_KEY' => 'k'],
            'http',
            'snoke_ws.transport.http.timeout_seconds is "soon"',
        ];
        yield 'signature' => [
            ['events' => ['webhook' => ['signature' => 'maybe']]],
            [],
            'webhook',
            'allowed are: required, off',
        ];
        yield 'level' => [[], ['WS_CONSUMER_LOG_LEVEL' => 'loud'], 'consumerLogLevel', 'allowed are: debug, info'];
    }

    public function testAListWhereAValueBelongsIsRefusedAtOnce(): void
    {
        $this->expectException(InvalidConfigurationException::class);
        $this->expectExceptionMessage('snoke_ws.mode');
        $this->boot(['mode' => ['core']]);
    }

    public function testAnUnknownKeyIsRefusedAtOnce(): void
    {
        $this->expectException(InvalidConfigurationException::class);
        $this->expectExceptionMessage('transprot');
        $this->boot(['transprot' => []]);
    }

    public function testTheGatewaysKeysServeWhereThereIsNoOther(): void
    {
        $environment = ['WS_GATEWAY_BASE_URL' => 'http://g:8180/', 'GATEWAY_API_KEY' => 'new, old'];
        $http = $this->settings([], $environment)->http();
        self::assertSame('http://g:8180', $http->baseUrl);
        self::assertSame(['X-Api-Key' => 'new'], $http->headers());
    }

    public function testAKeyInTheAddressNeedsNoOther(): void
    {
        $http = $this->settings([], ['WS_GATEWAY_BASE_URL' => 'http://any:KEY@g:8180'])->http();
        self::assertSame([], $http->headers());
    }

    public function testNoSecretShowsInADump(): void
    {
        $settings = $this->settings([], [
            'WS_GATEWAY_BASE_URL' => 'http://any:canary@g',
            'WS_GATEWAY_API_KEY' => 'canary',
            'SYMFONY_WEBHOOK_SECRET' => 'canary',
            'WS_REDIS_DSN' => 'redis://:canary@r',
        ]);
        $dump = print_r([$settings, $settings->http(), $settings->webhook()], true);
        self::assertStringNotContainsString('canary', $dump);
    }
}
