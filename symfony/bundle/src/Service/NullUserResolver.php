<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

use Snoke\WsBundle\Contract\UserResolverInterface;

/**
 * Knows nobody.
 */
final class NullUserResolver implements UserResolverInterface
{
    public function resolve(string $userId): mixed
    {
        return null;
    }
}
