<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

use Snoke\WsBundle\Contract\PresenceProviderInterface;
use Snoke\WsBundle\Exception\PresenceFailed;
use Snoke\WsBundle\Exception\PublishFailed;

/**
 * Asks the gateway who is connected.
 */
final class HttpPresenceProvider implements PresenceProviderInterface
{
    public function __construct(
        private readonly GatewayApi $api,
        private readonly PresenceInterpreter $interpreter = new PresenceInterpreter()
    ) {
    }

    public function listConnections(?string $subjectKey = null, ?string $userId = null): array
    {
        $filters = ['subject' => (string) $subjectKey, 'user_id' => (string) $userId];

        return $this->ask($this->api->settings->listPath, array_filter($filters, static fn ($text) => '' !== $text));
    }

    public function listConnectionsForUser(string $userId): array
    {
        if ('' === $userId) {
            return ['connections' => []];
        }
        if (preg_match('~[/\\\\]|^\.\.?$~', $userId)) {
            // Many proxies refuse %2F in a path, and make something else of dots.
            return $this->listConnections(null, $userId);
        }

        return $this->ask(str_replace('{user_id}', rawurlencode($userId), $this->api->settings->byUserPath), []);
    }

    /**
     * @param array<string, string> $query
     *
     * @return array{connections: list<array<string, mixed>>}
     */
    private function ask(string $path, array $query): array
    {
        try {
            $answer = $this->api->get($path, $query);
        } catch (PublishFailed $error) {
            throw new PresenceFailed($error->getMessage(), $error->getCode(), $error);
        }
        $listed = $answer['connections'] ?? null;
        if (!\is_array($listed)) {
            throw new PresenceFailed("What answered GET $path is not the gateway: there is no list of connections.");
        }
        $connections = array_map(static fn ($entry) => \is_array($entry) ? PresenceEntry::of($entry) : null, $listed);

        return ['connections' => $this->interpreter->alive(array_values(array_filter($connections)), true)];
    }
}
