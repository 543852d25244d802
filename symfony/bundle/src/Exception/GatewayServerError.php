<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Exception;

use Symfony\Contracts\HttpClient\Exception\ServerExceptionInterface;

/**
 * The gateway answered with 5xx.
 */
final class GatewayServerError extends GatewayRefused implements ServerExceptionInterface
{
}
