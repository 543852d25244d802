<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Contract;

/**
 * Turns what the application sends to into the subject that the gateway knows.
 */
interface SubjectKeyResolverInterface
{
    /**
     * @throws \InvalidArgumentException it names nobody
     */
    public function resolve(mixed $subject): string;
}
