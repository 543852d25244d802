<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Exception;

use Symfony\Contracts\HttpClient\Exception\TransportExceptionInterface;

/**
 * The gateway does not answer over HTTP.
 */
class GatewayUnreachable extends PublishFailed implements TransportExceptionInterface
{
}
