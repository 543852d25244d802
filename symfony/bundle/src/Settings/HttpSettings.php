<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Settings;

/**
 * How the gateway is reached over HTTP.
 */
final class HttpSettings
{
    /**
     * @param string $baseUrl without a slash at the end
     * @param string $apiKey  '' where a proxy adds it
     */
    public function __construct(
        public readonly string $baseUrl,
        #[\SensitiveParameter]
        public readonly string $apiKey,
        public readonly string $keyHeader = 'X-Api-Key',
        public readonly string $publishPath = '/internal/publish',
        public readonly float $timeout = 5.0,
        public readonly string $listPath = '/internal/connections',
        public readonly string $byUserPath = '/internal/users/{user_id}/connections'
    ) {
    }

    /**
     * @return array<string, string>
     */
    public function headers(): array
    {
        return '' === $this->apiKey ? [] : [$this->keyHeader => $this->apiKey];
    }

    /**
     * @return array<string, mixed>
     */
    public function __debugInfo(): array
    {
        // The base URL may hold a password.
        return ['path' => $this->publishPath];
    }
}
