<?php

declare(strict_types=1);

namespace App\Controller;

use App\Demo\DemoKey;
use App\Demo\LastMessageStore;
use Symfony\Component\HttpFoundation\JsonResponse;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpKernel\Exception\NotFoundHttpException;

/**
 * `GET /api/ws/last-message`: what a client said last, and who.
 */
final class LastMessageController
{
    public function __construct(private readonly DemoKey $key, private readonly LastMessageStore $store)
    {
    }

    public function __invoke(Request $request): JsonResponse
    {
        $this->key->demand($request);
        $document = $this->store->get() ?? throw new NotFoundHttpException('no message yet');

        return JsonResponse::fromJsonString('{"ok":true,"data":' . $document . '}', 200, [
            'Cache-Control' => 'no-store',
        ]);
    }
}
