<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Exception;

use Symfony\Contracts\HttpClient\Exception\ClientExceptionInterface;

/**
 * The gateway answered with 4xx.
 */
final class GatewayClientError extends GatewayRefused implements ClientExceptionInterface
{
}
