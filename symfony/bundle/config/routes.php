<?php

declare(strict_types=1);

use Snoke\WsBundle\Controller\WebhookController;
use Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator;

return static function (RoutingConfigurator $routes): void {
    $routes->add('snoke_ws_webhook', '/internal/ws/events')
        ->controller(WebhookController::class)
        ->methods(['POST']);
};
