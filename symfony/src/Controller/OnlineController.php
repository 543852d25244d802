<?php

declare(strict_types=1);

namespace App\Controller;

use App\Demo\DemoKey;
use Snoke\WsBundle\Contract\PresenceProviderInterface;
use Symfony\Component\HttpFoundation\JsonResponse;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpKernel\Exception\BadRequestHttpException;

/**
 * `GET /api/online?user_id=`: who is connected, without addresses.
 */
final class OnlineController
{
    public function __construct(private readonly DemoKey $key, private readonly PresenceProviderInterface $presence)
    {
    }

    public function __invoke(Request $request): JsonResponse
    {
        $this->key->demand($request);
        $userId = $request->query->all()['user_id'] ?? '';
        if (!\is_string($userId)) {
            throw new BadRequestHttpException('user_id is one user');
        }
        $found = '' === $userId
            ? $this->presence->listConnections()
            : $this->presence->listConnectionsForUser($userId);
        $shown = array_fill_keys(['connection_id', 'user_id', 'subjects', 'connected_at', 'last_seen_at'], true);

        return new JsonResponse(
            ['connections' => array_map(
                static fn (array $connection) => array_intersect_key($connection, $shown),
                $found['connections']
            )],
            200,
            ['Cache-Control' => 'no-store']
        );
    }
}
