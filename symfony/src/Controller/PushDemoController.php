<?php

declare(strict_types=1);

namespace App\Controller;

use App\Demo\DemoKey;
use Snoke\WsBundle\Service\WebsocketPublisher;
use Symfony\Component\HttpFoundation\JsonResponse;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpKernel\Exception\NotFoundHttpException;

/**
 * `POST /api/push-demo/{userId}`: sends `{"hello":"world"}` to all connections of a user, if there are any.
 */
final class PushDemoController
{
    private const LONGEST_ID = 500;

    public function __construct(private readonly DemoKey $key, private readonly WebsocketPublisher $publisher)
    {
    }

    public function __invoke(Request $request, string $userId): JsonResponse
    {
        $this->key->demand($request);
        if (\strlen($userId) > self::LONGEST_ID || preg_match('/\p{Cc}/u', $userId)) {
            throw new NotFoundHttpException('there can be no such user');
        }
        $this->publisher->sendToUser($userId, ['hello' => 'world']);

        return new JsonResponse(['sent' => true]);
    }
}
