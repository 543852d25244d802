<?php

declare(strict_types=1);

namespace App\Controller;

use App\Demo\DemoMode;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;

/**
 * `GET /demo/chat` and the files that belong to it, in demo mode only: those of the Python demo, byte for byte.
 */
final class ChatPageController
{
    private const TYPES = ['css' => 'text/css; charset=utf-8', 'js' => 'text/javascript; charset=utf-8'];

    /**
     * @param string $wsUrl     where the page connects; blank for `/ws` of the host that serves it
     * @param string $directory where the files are
     */
    public function __construct(
        private readonly DemoMode $demo,
        private readonly string $wsUrl,
        private readonly string $directory
    ) {
    }

    public function page(Request $request): Response
    {
        $this->demo->demand();
        $wsUrl = trim($this->wsUrl) ?: ($request->isSecure() ? 'wss' : 'ws') . "://{$request->getHttpHost()}/ws";
        if (!preg_match('~^wss?://[!-\~]+$~D', $wsUrl) || strpbrk($wsUrl, ";,'\"<>")) {
            throw new \UnexpectedValueException('DEMO_WS_URL is none; allowed is ws://host[:port]/path or wss://...');
        }
        $page = str_replace(
            '{{ws_url}}',
            htmlspecialchars($wsUrl, \ENT_QUOTES | \ENT_HTML5),
            $this->read('chat.html')
        );

        return $this->answer($request, $page, 'text/html; charset=utf-8', [
            'Content-Security-Policy' => "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:;"
                . " connect-src 'self' $wsUrl; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            'Referrer-Policy' => 'no-referrer',
            'Cross-Origin-Opener-Policy' => 'same-origin',
        ]);
    }

    public function file(Request $request, string $file): Response
    {
        $this->demo->demand();

        // The route lets no other names through.
        return $this->answer($request, $this->read($file), self::TYPES[pathinfo($file, \PATHINFO_EXTENSION)]);
    }

    private function read(string $file): string
    {
        return (string) file_get_contents("$this->directory/$file");
    }

    /**
     * @param array<string, string> $headers
     */
    private function answer(Request $request, string $body, string $type, array $headers = []): Response
    {
        $response = new Response($body, 200, $headers + [
            'Content-Type' => $type,
            'Cache-Control' => 'no-cache',
            'X-Content-Type-Options' => 'nosniff',
        ]);
        $response->setEtag(substr(hash('sha256', $body), 0, 32));
        $response->isNotModified($request);

        return $response;
    }
}
