<?php

declare(strict_types=1);

namespace App\Demo;

use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpKernel\Exception\HttpException;

/**
 * The key that callers of the demo's own API show in `X-Demo-Key`, where `DEMO_API_KEY` is set.
 *
 * Without one the API is open; in prod it is closed then.
 */
final class DemoKey
{
    public function __construct(
        #[\SensitiveParameter]
        private readonly string $key,
        private readonly string $environment
    ) {
    }

    /**
     * @throws HttpException 401: the caller did not show it
     */
    public function demand(Request $request): void
    {
        $key = trim($this->key);
        if ('' === $key && 'prod' !== $this->environment) {
            return;
        }
        if ('' === $key || !hash_equals($key, trim((string) $request->headers->get('X-Demo-Key')))) {
            throw new HttpException(401, 'unauthorized');
        }
    }
}
