<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Contract;

/**
 * Something that connections listen to: a user, a channel, an entity of yours.
 */
interface ConnectionSubjectInterface
{
    /**
     * The whole subject as the gateway knows it, such as `user:42` or `channel:news`.
     */
    public function subjectKey(): string;
}
