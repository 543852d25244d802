<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Exception;

use Symfony\Component\HttpKernel\Exception\HttpExceptionInterface;

/**
 * A setting is missing or cannot be used. The message names it, and never quotes a secret.
 *
 * In a request it is a 503: the gateway keeps its events until the setting is mended.
 */
class ConfigurationInvalid extends \LogicException implements HttpExceptionInterface
{
    public function getStatusCode(): int
    {
        return 503;
    }

    /**
     * @return array<string, string>
     */
    public function getHeaders(): array
    {
        return [];
    }
}
