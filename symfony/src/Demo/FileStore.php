<?php

declare(strict_types=1);

namespace App\Demo;

/**
 * In a file, for one machine.
 */
final class FileStore implements LastMessageStore
{
    public function __construct(private readonly string $path)
    {
    }

    public function put(string $document): void
    {
        // Written beside it and moved, so that nobody reads half of it.
        $new = @tempnam(\dirname($this->path), 'last');
        if (
            false === $new
            || \strlen($document) !== @file_put_contents($new, $document)
            || !@rename($new, $this->path)
        ) {
            false === $new || @unlink($new);
            throw new StoreFailed("$this->path cannot be written.");
        }
    }

    public function get(): ?string
    {
        if (!is_file($this->path)) {
            return null;
        }
        $document = @file_get_contents($this->path);

        return false === $document ? throw new StoreFailed("$this->path cannot be read.") : $document;
    }
}
