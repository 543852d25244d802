<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

use Psr\Container\ContainerInterface;
use Snoke\WsBundle\Contract\PresenceProviderInterface;
use Snoke\WsBundle\Settings\Settings;

/**
 * Asks the source that the settings name, chosen at the first question.
 */
final class DynamicPresenceProvider implements PresenceProviderInterface
{
    /**
     * @param ContainerInterface $providers by presence type
     */
    public function __construct(private readonly ContainerInterface $providers, private readonly Settings $settings)
    {
    }

    public function listConnections(?string $subjectKey = null, ?string $userId = null): array
    {
        return $this->chosen()->listConnections($subjectKey, $userId);
    }

    public function listConnectionsForUser(string $userId): array
    {
        return $this->chosen()->listConnectionsForUser($userId);
    }

    private function chosen(): PresenceProviderInterface
    {
        return $this->providers->get($this->settings->presenceType());
    }
}
