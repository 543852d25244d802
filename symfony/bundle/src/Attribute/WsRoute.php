<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Attribute;

/**
 * Marks a method of yours. Nothing in the bundle reads it; it is kept for code that carries it.
 */
#[\Attribute(\Attribute::TARGET_METHOD)]
final class WsRoute
{
    /**
     * @param array<string, mixed> $options
     */
    public function __construct(public string $path, public array $options = [])
    {
    }
}
