<?php

declare(strict_types=1);

use Snoke\WsBundle\Amqp\AmqpConnections;
use Snoke\WsBundle\Assembly;
use Snoke\WsBundle\Command\WsConsumeCommand;
use Snoke\WsBundle\Contract\PresenceProviderInterface;
use Snoke\WsBundle\Contract\PresenceWriterInterface;
use Snoke\WsBundle\Contract\PublisherInterface;
use Snoke\WsBundle\Contract\SubjectKeyResolverInterface;
use Snoke\WsBundle\Contract\UserResolverInterface;
use Snoke\WsBundle\Controller\WebhookController;
use Snoke\WsBundle\Event\EventReader;
use Snoke\WsBundle\EventListener\PresenceWriterListener;
use Snoke\WsBundle\Redis\RedisConnections;
use Snoke\WsBundle\Service\DemoTokenService;
use Snoke\WsBundle\Service\DynamicPresenceProvider;
use Snoke\WsBundle\Service\DynamicPublisher;
use Snoke\WsBundle\Service\HttpPublisher;
use Snoke\WsBundle\Service\InboxConsumer;
use Snoke\WsBundle\Service\NullUserResolver;
use Snoke\WsBundle\Service\RabbitMqPublisher;
use Snoke\WsBundle\Service\RedisStreamPublisher;
use Snoke\WsBundle\Service\TracingService;
use Snoke\WsBundle\Service\WebsocketPublisher;
use Snoke\WsBundle\Settings\Settings;
use Symfony\Component\DependencyInjection\Loader\Configurator\ContainerConfigurator;

use function Symfony\Component\DependencyInjection\Loader\Configurator\param;
use function Symfony\Component\DependencyInjection\Loader\Configurator\service;
use function Symfony\Component\DependencyInjection\Loader\Configurator\service_locator;

return static function (ContainerConfigurator $container): void {
    $services = $container->services();

    // Its arguments come from the extension.
    $services->set('snoke_ws.settings', Settings::class);
    $services->alias(Settings::class, 'snoke_ws.settings');

    $services->set('snoke_ws.tracing', TracingService::class)
        ->factory([Assembly::class, 'tracing'])
        ->args([service('snoke_ws.settings')]);
    $services->alias(TracingService::class, 'snoke_ws.tracing');
    $services->set('snoke_ws.redis_connections', RedisConnections::class)
        ->factory([Assembly::class, 'redisConnections'])
        ->args([service('snoke_ws.settings')]);
    $services->set('snoke_ws.amqp_connections', AmqpConnections::class);
    $services->set('snoke_ws.event_reader', EventReader::class);
    $services->alias(EventReader::class, 'snoke_ws.event_reader');
    $services->set('snoke_ws.assembly', Assembly::class)
        ->args([
            service('snoke_ws.settings'),
            service('snoke_ws.redis_connections'),
            service('snoke_ws.amqp_connections'),
            service('snoke_ws.tracing'),
            service('http_client')->nullOnInvalid(),
            service('logger')->nullOnInvalid(),
        ])
        ->tag('monolog.logger', ['channel' => 'snoke_ws']);

    // Publishing.
    $services->set('snoke_ws.http_publisher', HttpPublisher::class)
        ->factory([service('snoke_ws.assembly'), 'httpPublisher']);
    $services->set('snoke_ws.redis_stream_publisher', RedisStreamPublisher::class)
        ->factory([service('snoke_ws.assembly'), 'redisStreamPublisher']);
    $services->set('snoke_ws.rabbitmq_publisher', RabbitMqPublisher::class)
        ->factory([service('snoke_ws.assembly'), 'rabbitMqPublisher']);
    $services->set('snoke_ws.dynamic_publisher', DynamicPublisher::class)
        ->args([
            service_locator([
                'http' => service('snoke_ws.http_publisher'),
                'redis_stream' => service('snoke_ws.redis_stream_publisher'),
                'rabbitmq' => service('snoke_ws.rabbitmq_publisher'),
            ]),
            service('snoke_ws.settings'),
        ]);
    $services->alias(PublisherInterface::class, 'snoke_ws.dynamic_publisher');
    $services->set('snoke_ws.subject_key_resolver', SubjectKeyResolverInterface::class)
        ->factory([service('snoke_ws.assembly'), 'subjectKeyResolver']);
    $services->alias(SubjectKeyResolverInterface::class, 'snoke_ws.subject_key_resolver');
    $services->set('snoke_ws.websocket_publisher', WebsocketPublisher::class)
        ->factory([service('snoke_ws.assembly'), 'websocketPublisher'])
        ->args([service(PublisherInterface::class), service(SubjectKeyResolverInterface::class)]);
    $services->alias(WebsocketPublisher::class, 'snoke_ws.websocket_publisher');

    // Presence.
    $services->set('snoke_ws.http_presence', PresenceProviderInterface::class)
        ->factory([service('snoke_ws.assembly'), 'httpPresence']);
    $services->set('snoke_ws.redis_presence', PresenceProviderInterface::class)
        ->factory([service('snoke_ws.assembly'), 'redisPresence']);
    $services->set('snoke_ws.dynamic_presence', DynamicPresenceProvider::class)
        ->args([
            service_locator([
                'http' => service('snoke_ws.http_presence'),
                'redis' => service('snoke_ws.redis_presence'),
            ]),
            service('snoke_ws.settings'),
        ]);
    $services->alias(PresenceProviderInterface::class, 'snoke_ws.dynamic_presence');
    $services->set('snoke_ws.presence_writer', PresenceWriterInterface::class)
        ->factory([service('snoke_ws.assembly'), 'presenceWriter']);
    $services->alias(PresenceWriterInterface::class, 'snoke_ws.presence_writer');
    $services->set('snoke_ws.presence_writer_listener', PresenceWriterListener::class)
        ->factory([service('snoke_ws.assembly'), 'presenceWriterListener'])
        ->args([service(PresenceWriterInterface::class)])
        ->tag('kernel.event_subscriber');

    // Events.
    $services->set(WebhookController::class)
        ->factory([service('snoke_ws.assembly'), 'webhookController'])
        ->args([service('snoke_ws.event_reader'), service('event_dispatcher')])
        ->public()
        ->tag('controller.service_arguments');
    $services->set('snoke_ws.inbox_consumer', InboxConsumer::class)
        ->args([
            service('snoke_ws.settings'),
            service('snoke_ws.redis_connections'),
            service('snoke_ws.amqp_connections'),
            service('snoke_ws.event_reader'),
            service('event_dispatcher'),
            service('snoke_ws.tracing'),
            service('services_resetter')->nullOnInvalid(),
        ]);
    $services->alias(InboxConsumer::class, 'snoke_ws.inbox_consumer');
    $services->set('snoke_ws.consume_command', WsConsumeCommand::class)
        ->args([
            service('snoke_ws.inbox_consumer'),
            service('snoke_ws.settings'),
            service('logger')->nullOnInvalid(),
        ])
        ->tag('console.command', ['command' => 'ws:consume'])
        ->tag('monolog.logger', ['channel' => 'snoke_ws']);

    $services->set('snoke_ws.null_user_resolver', NullUserResolver::class);
    $services->alias(UserResolverInterface::class, 'snoke_ws.null_user_resolver');
    $services->set('snoke_ws.demo_token_service', DemoTokenService::class)
        ->factory([service('snoke_ws.assembly'), 'demoTokenService'])
        ->args([param('kernel.environment'), param('kernel.project_dir')]);
    $services->alias(DemoTokenService::class, 'snoke_ws.demo_token_service');
};
