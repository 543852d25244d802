<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Settings;

/**
 * How webhooks are judged.
 */
final class WebhookSettings
{
    /**
     * @param bool         $signed           false only if the configuration says `signature: off`
     * @param list<string> $secrets          may be blank
     * @param int          $tolerance        seconds
     * @param bool         $requireTimestamp refuse the older form of signature
     */
    public function __construct(
        public readonly bool $enabled,
        public readonly bool $signed,
        #[\SensitiveParameter]
        public readonly array $secrets,
        public readonly int $tolerance,
        public readonly bool $requireTimestamp,
        public readonly int $maxBytes
    ) {
    }

    /**
     * @return array<string, mixed>
     */
    public function __debugInfo(): array
    {
        return ['enabled' => $this->enabled, 'signed' => $this->signed];
    }
}
