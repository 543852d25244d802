<?php

declare(strict_types=1);

namespace App\Controller;

use App\Demo\DemoMode;
use Snoke\WsBundle\Service\DemoTokenService;
use Symfony\Component\HttpFoundation\JsonResponse;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpKernel\Exception\BadRequestHttpException;
use Symfony\Component\HttpKernel\Exception\HttpException;

/**
 * `GET /demo/token?user=NAME`: a token for the chat page, in demo mode only. Anybody gets any name.
 */
final class DemoTokenController
{
    public function __construct(private readonly DemoMode $demo, private readonly DemoTokenService $tokens)
    {
    }

    public function __invoke(Request $request): JsonResponse
    {
        $this->demo->demand();
        $asked = $request->query->all()['user'] ?? '';
        $name = (\is_string($asked) ? self::name($asked) : null)
            ?? throw new BadRequestHttpException('user is a name of 1 to 32 printable characters');
        [$token, $error] = $this->tokens->issue($name);
        if ('' !== $error) {
            throw new HttpException(500, $error);
        }
        $claims = json_decode((string) base64_decode(strtr(explode('.', $token)[1], '-_', '+/')), true);

        return new JsonResponse(
            ['token' => $token, 'user_id' => $name, 'expires_at' => $claims['exp']],
            200,
            ['Cache-Control' => 'no-store', 'X-Content-Type-Options' => 'nosniff']
        );
    }

    /**
     * The name as the demo uses it: what looks the same is the same user. Null if it cannot be one.
     */
    private static function name(string $text): ?string
    {
        $name = \Normalizer::normalize($text);
        $name = false === $name ? '' : trim((string) preg_replace('/[\s\p{Z}\x{1c}-\x{1f}\x{85}]+/u', ' ', $name));

        return preg_match('/^(?:[^\p{C}\p{Z}]| ){1,32}$/Du', $name) ? $name : null;
    }
}
