<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Contract;

/**
 * Finds the application's user behind the id in an event. Nothing in the bundle calls it: it is an agreement between
 * listeners of yours.
 */
interface UserResolverInterface
{
    public function resolve(string $userId): mixed;
}
