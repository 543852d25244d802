<?php

declare(strict_types=1);

namespace Snoke\WsBundle;

use Psr\EventDispatcher\EventDispatcherInterface;
use Psr\Log\LoggerInterface;
use Psr\Log\NullLogger;
use Snoke\WsBundle\Amqp\AmqpConnections;
use Snoke\WsBundle\Contract\PresenceProviderInterface;
use Snoke\WsBundle\Contract\PresenceWriterInterface;
use Snoke\WsBundle\Contract\PublisherInterface;
use Snoke\WsBundle\Contract\SubjectKeyResolverInterface;
use Snoke\WsBundle\Controller\WebhookController;
use Snoke\WsBundle\Event\EventReader;
use Snoke\WsBundle\EventListener\PresenceWriterListener;
use Snoke\WsBundle\Redis\RedisConnections;
use Snoke\WsBundle\Service\DemoTokenService;
use Snoke\WsBundle\Service\GatewayApi;
use Snoke\WsBundle\Service\HttpPresenceProvider;
use Snoke\WsBundle\Service\HttpPublisher;
use Snoke\WsBundle\Service\NullPresenceWriter;
use Snoke\WsBundle\Service\PresenceInterpreter;
use Snoke\WsBundle\Service\RabbitMqPublisher;
use Snoke\WsBundle\Service\RedisPresenceProvider;
use Snoke\WsBundle\Service\RedisPresenceWriter;
use Snoke\WsBundle\Service\RedisStreamPublisher;
use Snoke\WsBundle\Service\SimpleSubjectKeyResolver;
use Snoke\WsBundle\Service\TracingService;
use Snoke\WsBundle\Service\WebsocketPublisher;
use Snoke\WsBundle\Settings\Settings;
use Snoke\WsBundle\Webhook\SignatureVerifier;
use Symfony\Component\HttpClient\HttpClient;
use Symfony\Contracts\HttpClient\HttpClientInterface;

/**
 * Builds the services whose shape the settings decide, when each is first needed: the container factory of all of them.
 *
 * @internal
 */
final class Assembly
{
    private readonly LoggerInterface $logger;

    public function __construct(
        private readonly Settings $settings,
        private readonly RedisConnections $redis,
        private readonly AmqpConnections $amqp,
        private readonly TracingService $tracing,
        private readonly ?HttpClientInterface $http = null,
        ?LoggerInterface $logger = null
    ) {
        $this->logger = $logger ?? new NullLogger();
    }

    public static function tracing(Settings $settings): TracingService
    {
        return new TracingService($settings->tracing());
    }

    public static function redisConnections(Settings $settings): RedisConnections
    {
        return new RedisConnections($settings->redisLibrary());
    }

    public function webhookController(EventReader $reader, EventDispatcherInterface $dispatcher): WebhookController
    {
        $settings = $this->settings->webhook();
        $verifier = $settings->signed
            ? new SignatureVerifier($settings->secrets, $settings->tolerance, $settings->requireTimestamp)
            : null;

        return new WebhookController(
            $reader,
            $dispatcher,
            $this->tracing,
            $settings->enabled,
            $verifier,
            $settings->maxBytes,
            $this->logger
        );
    }

    public function httpPublisher(): HttpPublisher
    {
        return new HttpPublisher(new GatewayApi($this->client(), $this->settings->http()), $this->tracing);
    }

    public function redisStreamPublisher(): RedisStreamPublisher
    {
        $outbox = $this->settings->redisOutbox();

        return new RedisStreamPublisher(
            $this->redis->to($outbox['dsn']),
            $outbox['stream'],
            $outbox['max_length'],
            $this->tracing
        );
    }

    public function rabbitMqPublisher(): RabbitMqPublisher
    {
        $outbox = $this->settings->rabbitmqOutbox();

        return new RabbitMqPublisher(
            $this->amqp->to($outbox['dsn']),
            $outbox['exchange'],
            $outbox['routing_key'],
            $this->tracing,
            $this->logger
        );
    }

    public function subjectKeyResolver(): SubjectKeyResolverInterface
    {
        return new SimpleSubjectKeyResolver($this->settings->userPrefix(), $this->settings->subjectPrefixes());
    }

    public function websocketPublisher(
        PublisherInterface $publisher,
        SubjectKeyResolverInterface $resolver
    ): WebsocketPublisher {
        return new WebsocketPublisher($publisher, $resolver, $this->settings->userPrefix(), $this->tracing);
    }

    public function httpPresence(): PresenceProviderInterface
    {
        $api = new GatewayApi($this->client(), $this->settings->presenceHttp());

        return new HttpPresenceProvider($api, $this->interpreter());
    }

    public function redisPresence(): PresenceProviderInterface
    {
        $redis = $this->settings->presenceRedis();

        return new RedisPresenceProvider($this->redis->to($redis['dsn']), $redis['prefix'], $this->interpreter());
    }

    public function presenceWriter(): PresenceWriterInterface
    {
        $writer = $this->settings->presenceWriter();
        if ('redis' !== $writer['type']) {
            return new NullPresenceWriter();
        }
        $redis = $this->settings->presenceRedis();

        return new RedisPresenceWriter($this->redis->to($redis['dsn']), $redis['prefix'], $writer['ttl']);
    }

    public function presenceWriterListener(PresenceWriterInterface $writer): PresenceWriterListener
    {
        $refresh = $this->settings->presenceWriter()['refresh_on_message'];

        return new PresenceWriterListener($writer, $refresh, $this->logger);
    }

    public function demoTokenService(string $environment, string $projectDir): DemoTokenService
    {
        $tokens = $this->settings->demoTokens();

        return new DemoTokenService(
            $environment,
            $tokens['algorithm'],
            $tokens['key_file'],
            $tokens['secret'],
            $tokens['ttl'],
            $tokens['user_claim'],
            $projectDir
        );
    }

    private function interpreter(): PresenceInterpreter
    {
        $how = $this->settings->interpretation();

        return new PresenceInterpreter(
            $how['strategy'],
            $how['ttl'],
            $how['heartbeat'],
            $how['grace'],
            $how['use_last_seen']
        );
    }

    private function client(): HttpClientInterface
    {
        return $this->http ?? HttpClient::create();
    }
}
