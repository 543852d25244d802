<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

use Psr\Container\ContainerInterface;
use Snoke\WsBundle\Contract\GatewayPublisherInterface;
use Snoke\WsBundle\Settings\Settings;

/**
 * Publishes over the transport that the settings name, chosen at the first publication.
 */
final class DynamicPublisher implements GatewayPublisherInterface
{
    /**
     * @param ContainerInterface $publishers by transport type
     */
    public function __construct(private readonly ContainerInterface $publishers, private readonly Settings $settings)
    {
    }

    public function publish(array $subjectKeys, mixed $payload): void
    {
        $this->chosen()->publish($subjectKeys, $payload);
    }

    public function publishAll(array $publications): array
    {
        return $this->chosen()->publishAll($publications);
    }

    public function disconnect(
        ?string $userId = null,
        ?string $connectionId = null,
        int $code = 4403,
        string $reason = ''
    ): ?int {
        return $this->chosen()->disconnect($userId, $connectionId, $code, $reason);
    }

    private function chosen(): GatewayPublisherInterface
    {
        return $this->publishers->get($this->settings->transportType());
    }
}
