<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Settings;

/**
 * What the application wants, with every default resolved. Nothing is read before it is needed, and nothing at compile
 * time: one container serves both modes.
 */
final class Settings
{
    /** The environment variables that count where the configuration is silent. */
    public const ENVIRONMENT = [
        'WS_MODE', 'EVENTS_MODE', 'WS_TRANSPORT_TYPE', 'WS_PRESENCE_TYPE', 'WS_EVENTS_TYPE',
        'WS_GATEWAY_BASE_URL', 'WS_GATEWAY_API_KEY', 'GATEWAY_API_KEY',
        'SYMFONY_WEBHOOK_SECRET', 'WEBHOOK_SECRET', 'SYMFONY_WEBHOOK_SECRET_PREVIOUS', 'WEBHOOK_SECRET_PREVIOUS',
        'SYMFONY_WEBHOOK_SIGNATURE',
        'WS_REDIS_DSN', 'REDIS_DSN', 'WS_REDIS_STREAM', 'REDIS_STREAM', 'DEMO_INBOX_REDIS_DSN',
        'DEMO_INBOX_REDIS_STREAM', 'WS_REDIS_INBOX_STREAM', 'REDIS_INBOX_STREAM', 'WS_REDIS_EVENTS_STREAM',
        'REDIS_EVENTS_STREAM', 'WS_REDIS_DLQ_STREAM', 'REDIS_DLQ_STREAM',
        'WS_PRESENCE_REDIS_DSN', 'PRESENCE_REDIS_DSN', 'WS_REDIS_PREFIX', 'PRESENCE_REDIS_PREFIX',
        'WS_RABBITMQ_DSN', 'RABBITMQ_DSN', 'WS_RABBITMQ_EXCHANGE', 'WS_RABBITMQ_QUEUE', 'WS_RABBITMQ_ROUTING_KEY',
        'WS_RABBITMQ_INBOX_QUEUE', 'RABBITMQ_INBOX_QUEUE', 'WS_RABBITMQ_EVENTS_QUEUE', 'RABBITMQ_EVENTS_QUEUE',
        'ORDERING_PARTITION_MODE', 'WS_CONSUMER_GROUP', 'WS_CONSUMER_NAME', 'WS_CONSUMER_LOG_LEVEL',
        'DEMO_JWT_ALG', 'DEMO_JWT_PRIVATE_KEY_FILE', 'DEMO_JWT_SECRET',
    ];

    private const REDIS = ['WS_REDIS_DSN', 'REDIS_DSN'];
    private const RABBITMQ = ['WS_RABBITMQ_DSN', 'RABBITMQ_DSN'];

    private readonly Values $values;

    /**
     * @param array<string, mixed>       $tree        the configuration below `snoke_ws`
     * @param array<string, string|null> $environment the variables named in `ENVIRONMENT`
     */
    public function __construct(
        #[\SensitiveParameter]
        array $tree = [],
        #[\SensitiveParameter]
        array $environment = []
    ) {
        $this->values = new Values($tree, $environment);
    }

    /**
     * `terminator` or `core`.
     */
    public function mode(): string
    {
        return $this->values->choice('mode', ['terminator', 'core'], ['WS_MODE'], 'terminator');
    }

    /**
     * `http`, `redis_stream` or `rabbitmq`.
     */
    public function transportType(): string
    {
        $choices = ['http', 'redis_stream', 'rabbitmq'];
        $type = $this->values->choice('transport.type', $choices, ['WS_TRANSPORT_TYPE']);

        return '' !== $type ? $type : ('core' === $this->mode() ? $this->broker() : 'http');
    }

    /**
     * `http` or `redis`.
     */
    public function presenceType(): string
    {
        $type = $this->values->choice('presence.type', ['http', 'redis'], ['WS_PRESENCE_TYPE']);
        if ('' !== $type) {
            return $type;
        }

        // Presence has no form in RabbitMQ.
        return 'core' === $this->mode() && 'redis_stream' === $this->broker() ? 'redis' : 'http';
    }

    /**
     * How events come: `webhook`, `redis_stream`, `rabbitmq`, `both` (webhook and a broker) or `none`.
     */
    public function eventsType(): string
    {
        $choices = ['webhook', 'redis_stream', 'rabbitmq', 'both', 'none'];
        $type = $this->values->choice('events.type', $choices, ['WS_EVENTS_TYPE']);
        if ('' !== $type) {
            return $type;
        }
        $mode = $this->values->choice('events.mode', ['webhook', 'broker', 'both', 'none'], ['EVENTS_MODE']);

        return match ($mode) {
            'broker' => $this->broker(),
            '' => 'core' === $this->mode() ? $this->broker() : 'webhook',
            default => $mode,
        };
    }

    /**
     * Which broker carries events and publications where nothing says so: Redis, unless only RabbitMQ is configured.
     *
     * `redis_stream` or `rabbitmq`.
     */
    public function broker(): string
    {
        $redis = $this->values->text('transport.redis_stream.dsn', self::REDIS)
            . $this->values->text('events.redis_stream.dsn');
        $rabbitmq = $this->values->text('transport.rabbitmq.dsn', self::RABBITMQ)
            . $this->values->text('events.rabbitmq.dsn');

        return '' === $redis && '' !== $rabbitmq ? 'rabbitmq' : 'redis_stream';
    }

    /**
     * The broker that `ws:consume` reads where no option says so.
     *
     * `redis_stream` or `rabbitmq`.
     */
    public function consumerBroker(): string
    {
        $type = $this->eventsType();

        return \in_array($type, ['redis_stream', 'rabbitmq'], true) ? $type : $this->broker();
    }

    public function webhook(): WebhookSettings
    {
        $signature = $this->values->choice(
            'events.webhook.signature',
            ['required', 'off'],
            ['SYMFONY_WEBHOOK_SIGNATURE'],
            'required'
        );

        return new WebhookSettings(
            \in_array($this->eventsType(), ['webhook', 'both'], true)
                && $this->values->flag('events.webhook.enabled', true),
            'required' === $signature,
            [
                $this->values->text('events.webhook.secret', ['SYMFONY_WEBHOOK_SECRET', 'WEBHOOK_SECRET']),
                $this->values->text(
                    'events.webhook.previous_secret',
                    ['SYMFONY_WEBHOOK_SECRET_PREVIOUS', 'WEBHOOK_SECRET_PREVIOUS']
                ),
            ],
            $this->values->integer('events.webhook.tolerance_seconds', 300, 1),
            $this->values->flag('events.webhook.require_timestamp', false),
            $this->values->integer('events.webhook.max_bytes', 1_048_576, 1)
        );
    }

    public function http(): HttpSettings
    {
        return $this->gateway(
            $this->values->needed('transport.http.base_url', ['WS_GATEWAY_BASE_URL']),
            $this->values->seconds('transport.http.timeout_seconds', 5)
        );
    }

    public function presenceHttp(): HttpSettings
    {
        $baseUrl = $this->values->text('presence.http.base_url');

        return $this->gateway(
            $baseUrl ?: $this->values->needed('transport.http.base_url', ['WS_GATEWAY_BASE_URL']),
            $this->values->seconds('presence.http.timeout_seconds', 5)
        );
    }

    /**
     * @return array{strategy: string, ttl: int, heartbeat: int, grace: int, use_last_seen: bool}
     */
    public function interpretation(): array
    {
        $path = 'presence.interpretation';

        return [
            'strategy' => $this->values->choice("$path.strategy", ['none', 'ttl', 'heartbeat', 'session'], [], 'none'),
            'ttl' => $this->values->integer("$path.ttl_seconds", 120),
            'heartbeat' => $this->values->integer("$path.heartbeat_seconds", 30),
            'grace' => $this->values->integer("$path.grace_seconds", 15),
            'use_last_seen' => $this->values->flag("$path.use_last_seen", true),
        ];
    }

    /**
     * @return array{type: string, ttl: int, refresh_on_message: bool}
     */
    public function presenceWriter(): array
    {
        return [
            'type' => $this->values->choice('presence.writer.type', ['none', 'redis'], [], 'none'),
            'ttl' => $this->values->integer('presence.writer.ttl_seconds', 120),
            'refresh_on_message' => $this->values->flag('presence.writer.refresh_on_message', true),
        ];
    }

    /**
     * @return array{dsn: string, prefix: string}
     */
    public function presenceRedis(): array
    {
        $dsn = $this->values->text('presence.redis.dsn', ['WS_PRESENCE_REDIS_DSN', 'PRESENCE_REDIS_DSN']);

        return [
            'dsn' => '' !== $dsn ? $dsn : $this->redisDsn(),
            'prefix' => $this->values->text(
                'presence.redis.prefix',
                ['WS_REDIS_PREFIX', 'PRESENCE_REDIS_PREFIX'],
                'presence:'
            ),
        ];
    }

    /**
     * `phpredis`, `predis` or '' for what is installed.
     */
    public function redisLibrary(): string
    {
        return $this->values->choice('redis.client', ['phpredis', 'predis']);
    }

    /**
     * Where publications go by Redis.
     *
     * @return array{dsn: string, stream: string, max_length: int}
     */
    public function redisOutbox(): array
    {
        return [
            'dsn' => $this->redisDsn(),
            'stream' => $this->values->text(
                'transport.redis_stream.stream',
                ['WS_REDIS_STREAM', 'REDIS_STREAM'],
                'ws.outbox'
            ),
            'max_length' => $this->values->integer('transport.redis_stream.max_length', 0),
        ];
    }

    /**
     * Where publications go by RabbitMQ.
     *
     * @return array{dsn: string, exchange: string, routing_key: string}
     */
    public function rabbitmqOutbox(): array
    {
        $exchange = $this->values->text('transport.rabbitmq.exchange', ['WS_RABBITMQ_EXCHANGE'], 'ws.outbox');

        return [
            'dsn' => $this->rabbitmqDsn(),
            'exchange' => $exchange,
            'routing_key' => $this->values->text(
                'transport.rabbitmq.routing_key',
                ['WS_RABBITMQ_ROUTING_KEY'],
                'ws.outbox'
            ),
        ];
    }

    public function consumer(): ConsumerSettings
    {
        $modes = ['none', 'suffix'];
        $partitions = $this->values->choice('consumer.partitions', $modes, ['ORDERING_PARTITION_MODE'], 'none');
        $redis = $this->values->text('events.redis_stream.dsn', ['DEMO_INBOX_REDIS_DSN']);
        $rabbitmq = $this->values->text('events.rabbitmq.dsn');

        return new ConsumerSettings(
            redisDsn: fn (): string => '' !== $redis ? $redis : $this->redisDsn(),
            rabbitmqDsn: fn (): string => '' !== $rabbitmq ? $rabbitmq : $this->rabbitmqDsn(),
            inboxStream: $this->values->text(
                'events.redis_stream.inbox_stream',
                ['DEMO_INBOX_REDIS_STREAM', 'WS_REDIS_INBOX_STREAM', 'REDIS_INBOX_STREAM'],
                'ws.inbox'
            ),
            eventsStream: $this->values->text(
                'events.redis_stream.stream',
                ['WS_REDIS_EVENTS_STREAM', 'REDIS_EVENTS_STREAM'],
                'ws.events'
            ),
            deadLetterStream: $this->values->text(
                'events.redis_stream.dlq_stream',
                ['WS_REDIS_DLQ_STREAM', 'REDIS_DLQ_STREAM'],
                'ws.dlq'
            ),
            partitioned: 'suffix' === $partitions,
            inboxExchange: $this->values->text('events.rabbitmq.inbox_exchange', [], 'ws.inbox'),
            inboxQueue: $this->values->text(
                'events.rabbitmq.inbox_queue',
                ['WS_RABBITMQ_INBOX_QUEUE', 'RABBITMQ_INBOX_QUEUE'],
                'ws.inbox'
            ),
            eventsExchange: $this->values->text('events.rabbitmq.exchange', [], 'ws.events'),
            eventsQueue: $this->values->text(
                'events.rabbitmq.queue',
                ['WS_RABBITMQ_EVENTS_QUEUE', 'RABBITMQ_EVENTS_QUEUE'],
                'ws.events'
            ),
            deadLetterExchange: $this->values->text('events.rabbitmq.dlq_exchange', [], 'ws.dlq'),
            group: $this->values->text('consumer.group', ['WS_CONSUMER_GROUP'], 'symfony'),
            name: $this->values->text('consumer.name', ['WS_CONSUMER_NAME']),
            start: $this->values->choice('consumer.start', ['oldest', 'newest'], [], 'oldest'),
            batch: $this->values->integer('consumer.batch', 10, 1),
            attempts: $this->values->integer('consumer.attempts', 5, 1),
            retrySeconds: $this->values->seconds('consumer.retry_seconds', 0.5),
            claimSeconds: $this->values->seconds('consumer.claim_seconds', 60)
        );
    }

    /**
     * Whether the consumer has a name of the operator's, which it keeps from one start to the next.
     */
    public function consumerIsNamed(): bool
    {
        return '' !== $this->values->text('consumer.name', ['WS_CONSUMER_NAME']);
    }

    public function consumerLogLevel(): string
    {
        $levels = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'];
        $level = $this->values->text('consumer.log_level', ['WS_CONSUMER_LOG_LEVEL'], 'info');

        // Python's word is in the .env file that both sides share.
        return 'WARN' === strtoupper($level)
            ? 'warning'
            : $this->values->choice('consumer.log_level', $levels, ['WS_CONSUMER_LOG_LEVEL'], 'info');
    }

    public function userPrefix(): string
    {
        return $this->values->text('subjects.user_prefix', [], 'user:');
    }

    /**
     * Beginnings of texts that are whole subjects already.
     *
     * @return list<string>
     */
    public function subjectPrefixes(): array
    {
        return ['channel:', ...$this->values->texts('subjects.prefixes')];
    }

    /**
     * Whether publications carry the context of OpenTelemetry, where that is installed.
     */
    public function tracing(): bool
    {
        return $this->values->flag('tracing.enabled', false);
    }

    /**
     * @return array{algorithm: string, key_file: string, secret: string, ttl: int, user_claim: string}
     */
    public function demoTokens(): array
    {
        return [
            'algorithm' => $this->values->text('demo.jwt_alg', ['DEMO_JWT_ALG'], 'RS256'),
            'key_file' => $this->values->text('demo.jwt_private_key_file', ['DEMO_JWT_PRIVATE_KEY_FILE']),
            'secret' => $this->values->text('demo.jwt_secret', ['DEMO_JWT_SECRET']),
            'ttl' => $this->values->integer('demo.ttl_seconds', 3600, 1),
            'user_claim' => $this->values->text('demo.user_id_claim', [], 'user_id'),
        ];
    }

    private function gateway(string $baseUrl, float $timeout): HttpSettings
    {
        return new HttpSettings(
            rtrim($baseUrl, '/'),
            $this->apiKey($baseUrl),
            $this->values->text('transport.http.auth.header', [], 'X-Api-Key'),
            $this->values->text('transport.http.publish_path', [], '/internal/publish'),
            $timeout,
            $this->values->text('presence.http.list_path', [], '/internal/connections'),
            $this->values->text('presence.http.by_user_path', [], '/internal/users/{user_id}/connections')
        );
    }

    private function apiKey(string $baseUrl): string
    {
        if ('none' === $this->values->choice('transport.http.auth.type', ['api_key', 'none'], [], 'api_key')) {
            return '';
        }
        $own = $this->values->text('transport.http.auth.value', ['WS_GATEWAY_API_KEY']);
        if ('' !== $own) {
            return $own;
        }
        // What the gateway itself is given may be several keys; each of them opens.
        $shared = trim(explode(',', $this->values->text('', ['GATEWAY_API_KEY']))[0]);
        // http://any:KEY@gateway:8180 has the key as its password.
        if ('' === $shared && null === parse_url($baseUrl, \PHP_URL_PASS)) {
            return $this->values->needed('transport.http.auth.value', ['WS_GATEWAY_API_KEY', 'GATEWAY_API_KEY']);
        }

        return $shared;
    }

    private function redisDsn(): string
    {
        return $this->values->text('transport.redis_stream.dsn', self::REDIS, 'redis://redis:6379');
    }

    private function rabbitmqDsn(): string
    {
        return $this->values->text('transport.rabbitmq.dsn', self::RABBITMQ, 'amqp://guest:guest@rabbitmq:5672/');
    }
}
