<?php

declare(strict_types=1);

namespace Snoke\WsBundle;

use Symfony\Component\HttpKernel\Bundle\Bundle;

/**
 * Connects a Symfony application with ws-gateway.
 */
final class SnokeWsBundle extends Bundle
{
    public function getPath(): string
    {
        // Not src/: `@SnokeWsBundle/config/routes.php` lies beside it.
        return \dirname(__DIR__);
    }
}
