<?php

declare(strict_types=1);

namespace Snoke\WsBundle\DependencyInjection;

use Symfony\Component\Config\Definition\Builder\ArrayNodeDefinition;
use Symfony\Component\Config\Definition\Builder\TreeBuilder;
use Symfony\Component\Config\Definition\ConfigurationInterface;

/**
 * The tree below `snoke_ws`. Every leaf may be an environment variable, so values are judged at run time (`Settings`);
 * what is null or blank there has a default that may depend on the mode.
 */
final class Configuration implements ConfigurationInterface
{
    /** Leaves that are lists where they are no text with commas. */
    public const LISTS = ['subjects.prefixes'];

    private const TREE = [
        'mode' => 'terminator or core; WS_MODE',
        'transport' => [
            'type' => 'http, redis_stream or rabbitmq; WS_TRANSPORT_TYPE, else by the mode',
            'http' => [
                'base_url' => 'such as http://gateway:8180; WS_GATEWAY_BASE_URL',
                'publish_path' => '/internal/publish',
                'timeout_seconds' => '5',
                'auth' => [
                    'type' => 'api_key or none',
                    'header' => 'X-Api-Key',
                    'value' => 'WS_GATEWAY_API_KEY, else the first of GATEWAY_API_KEY',
                ],
            ],
            'redis_stream' => [
                'dsn' => 'WS_REDIS_DSN, REDIS_DSN',
                'stream' => 'ws.outbox; WS_REDIS_STREAM, REDIS_STREAM',
                'max_length' => '0: nothing is trimmed here',
                'group' => 'not used: every gateway reads every entry',
                'consumer' => 'not used',
            ],
            'rabbitmq' => [
                'dsn' => 'WS_RABBITMQ_DSN, RABBITMQ_DSN',
                'exchange' => 'ws.outbox; WS_RABBITMQ_EXCHANGE',
                'queue' => 'not used: every gateway has a queue of its own',
                'routing_key' => 'ws.outbox; WS_RABBITMQ_ROUTING_KEY',
            ],
        ],
        'presence' => [
            'type' => 'http or redis; WS_PRESENCE_TYPE, else by the mode',
            'http' => [
                'base_url' => 'as transport.http.base_url',
                'list_path' => '/internal/connections',
                'by_user_path' => '/internal/users/{user_id}/connections',
                'timeout_seconds' => '5',
            ],
            'redis' => [
                'dsn' => 'PRESENCE_REDIS_DSN, else as transport.redis_stream.dsn',
                'prefix' => 'presence:; WS_REDIS_PREFIX, PRESENCE_REDIS_PREFIX',
                'ttl_seconds' => 'not used: who writes decides',
            ],
            'interpretation' => [
                'strategy' => 'none, ttl, heartbeat or session',
                'ttl_seconds' => '120',
                'heartbeat_seconds' => '30',
                'grace_seconds' => '15',
                'use_last_seen' => 'true',
            ],
            'writer' => [
                'type' => 'none or redis',
                'ttl_seconds' => '120',
                'refresh_on_message' => 'true',
            ],
        ],
        'events' => [
            'type' => 'webhook, redis_stream, rabbitmq, both or none; WS_EVENTS_TYPE, EVENTS_MODE, else by the mode',
            'mode' => 'webhook, broker, both or none, as the gateway has it; EVENTS_MODE',
            'webhook' => [
                'path' => 'not used: the route decides',
                'enabled' => 'true',
                'secret' => 'SYMFONY_WEBHOOK_SECRET, WEBHOOK_SECRET',
                'previous_secret' => 'while the secret changes; WEBHOOK_SECRET_PREVIOUS',
                'signature' => 'required, or off in so many words; SYMFONY_WEBHOOK_SIGNATURE',
                'require_timestamp' => 'false; true refuses requests that X-Webhook-Signature alone signs',
                'tolerance_seconds' => '300',
                'max_bytes' => '1048576',
            ],
            'redis_stream' => [
                'dsn' => 'as transport.redis_stream.dsn',
                'stream' => 'ws.events; WS_REDIS_EVENTS_STREAM, REDIS_EVENTS_STREAM',
                'inbox_stream' => 'ws.inbox; WS_REDIS_INBOX_STREAM, REDIS_INBOX_STREAM',
                'dlq_stream' => 'ws.dlq; REDIS_DLQ_STREAM',
                'group' => 'not used: see consumer.group',
                'consumer' => 'not used: see consumer.name',
            ],
            'rabbitmq' => [
                'dsn' => 'as transport.rabbitmq.dsn',
                'exchange' => 'ws.events',
                'queue' => 'ws.events; RABBITMQ_EVENTS_QUEUE',
                'routing_key' => 'not used: it is the name of the exchange',
                'inbox_exchange' => 'ws.inbox',
                'inbox_queue' => 'ws.inbox; RABBITMQ_INBOX_QUEUE',
                'dlq_exchange' => 'ws.dlq',
            ],
        ],
        'consumer' => [
            'group' => 'symfony; WS_CONSUMER_GROUP',
            'name' => 'unique among the processes; WS_CONSUMER_NAME, else host and process id',
            'start' => 'oldest or newest: where a new group begins',
            'partitions' => 'none or suffix, as the gateway has it; ORDERING_PARTITION_MODE',
            'batch' => '10',
            'attempts' => '5',
            'retry_seconds' => '0.5, doubled each time, 10 at most',
            'claim_seconds' => '60: after which an entry of another consumer counts as abandoned',
            'log_level' => 'info; WS_CONSUMER_LOG_LEVEL',
        ],
        'redis' => [
            'client' => 'phpredis or predis; the first one that is installed',
        ],
        'tracing' => [
            'enabled' => 'false; true takes the context of OpenTelemetry, if that is installed',
            'service_name' => 'not used: OpenTelemetry has its own settings',
            'exporter' => 'not used',
            'otlp_endpoint' => 'not used',
            'otlp_protocol' => 'not used',
            'traceparent_field' => 'not used',
            'trace_id_field' => 'not used',
        ],
        'subjects' => [
            'user_prefix' => 'user:, as the gateway has it in SUBJECT_USER_PREFIX',
            'prefixes' => 'more beginnings of texts that are whole subjects, beside channel:',
        ],
        'demo' => [
            'jwt_alg' => 'RS256; DEMO_JWT_ALG',
            'jwt_private_key_file' => 'DEMO_JWT_PRIVATE_KEY_FILE',
            'jwt_secret' => 'DEMO_JWT_SECRET',
            'ttl_seconds' => '3600',
            'user_id_claim' => 'user_id',
        ],
    ];

    public function getConfigTreeBuilder(): TreeBuilder
    {
        $builder = new TreeBuilder('snoke_ws');
        $root = $builder->getRootNode();
        \assert($root instanceof ArrayNodeDefinition);
        self::fill($root, self::TREE);

        return $builder;
    }

    /**
     * @param array<string, string|array<string, mixed>> $tree
     */
    private static function fill(ArrayNodeDefinition $parent, array $tree): void
    {
        $children = $parent->addDefaultsIfNotSet()->children();
        foreach ($tree as $name => $content) {
            if (\is_array($content)) {
                self::fill($children->arrayNode($name), $content);
                continue;
            }
            // No scalar nodes: those of Symfony 5.4 to 7.2 refuse %env(default:..)%, because it might be a list.
            $children->variableNode($name)->defaultNull()->info($content);
        }
    }
}
