<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Exception;

use Symfony\Contracts\HttpClient\Exception\HttpExceptionInterface;
use Symfony\Contracts\HttpClient\ResponseInterface;

/**
 * The gateway answered, and not with a 2xx.
 */
class GatewayRefused extends PublishFailed implements HttpExceptionInterface
{
    public function __construct(private readonly ResponseInterface $response, string $message)
    {
        parent::__construct($message, $response->getStatusCode());
    }

    public function getResponse(): ResponseInterface
    {
        return $this->response;
    }
}
