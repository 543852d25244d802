<?php

declare(strict_types=1);

namespace App\Demo;

/**
 * Keeps the last message that a client sent, for all processes of the application.
 */
interface LastMessageStore
{
    /**
     * @param string $document JSON
     *
     * @throws StoreFailed it is not kept
     */
    public function put(string $document): void;

    /**
     * @return string|null what was put last, if anything was
     *
     * @throws StoreFailed nobody knows
     */
    public function get(): ?string;
}
