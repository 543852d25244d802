<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Controller;

use Psr\EventDispatcher\EventDispatcherInterface;
use Psr\Log\LoggerInterface;
use Psr\Log\NullLogger;
use Snoke\WsBundle\Event\EventReader;
use Snoke\WsBundle\Exception\EventInvalid;
use Snoke\WsBundle\Exception\EventUnknown;
use Snoke\WsBundle\Service\TracingService;
use Snoke\WsBundle\Webhook\SignatureInvalid;
use Snoke\WsBundle\Webhook\SignatureVerifier;
use Symfony\Component\HttpFoundation\JsonResponse;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;

/**
 * Takes the gateway's webhooks and dispatches each as an event.
 *
 * What the answers make the gateway do: 200, delivered; 401 and 404, the event waits until we are configured; 400 and
 * 413, the event is given up; an exception of a listener becomes a 500, and the event comes again.
 */
final class WebhookController
{
    /**
     * @param bool                   $enabled  whether events come by webhook at all
     * @param SignatureVerifier|null $verifier null only where the settings say in so many words that nothing is signed
     * @param int                    $maxBytes what a body may have at most
     */
    public function __construct(
        private readonly EventReader $reader,
        private readonly EventDispatcherInterface $dispatcher,
        private readonly TracingService $tracing,
        private readonly bool $enabled,
        private readonly ?SignatureVerifier $verifier,
        private readonly int $maxBytes = 1_048_576,
        private readonly LoggerInterface $logger = new NullLogger()
    ) {
    }

    public function __invoke(Request $request): Response
    {
        if (!$this->enabled) {
            return $this->refuse(404, 'webhook disabled');
        }
        // Before it is read: a body that is announced too long is not brought into memory.
        if ((int) $request->headers->get('Content-Length', '0') > $this->maxBytes) {
            return $this->refuse(413, 'body too large', ['max_bytes' => $this->maxBytes]);
        }
        $body = $request->getContent();
        if (\strlen($body) > $this->maxBytes) {
            return $this->refuse(413, 'body too large', ['max_bytes' => $this->maxBytes]);
        }
        if (null !== $this->verifier && null !== $refusal = $this->judge($this->verifier, $body, $request)) {
            return $refusal;
        }
        try {
            $event = $this->reader->read($body);
        } catch (EventUnknown $unknown) {
            $this->logger->info('A webhook brought an event of a type that this version does not know.');

            return new JsonResponse(['ok' => true]);
        } catch (EventInvalid $invalid) {
            return $this->refuse(400, 'invalid event: ' . $invalid->getMessage());
        }
        $this->tracing->within($event->getTraceparent(), fn () => $this->dispatcher->dispatch($event));

        return new JsonResponse(['ok' => true]);
    }

    private function judge(SignatureVerifier $verifier, string $body, Request $request): ?Response
    {
        if (!$verifier->hasSecrets()) {
            $this->logger->error(
                'Webhooks are refused, because there is no secret to verify them with: set SYMFONY_WEBHOOK_SECRET '
                . '(snoke_ws.events.webhook.secret), or snoke_ws.events.webhook.signature to "off".'
            );

            return $this->refuse(401, 'no webhook secret is configured');
        }
        try {
            $verifier->verify($body, $request->headers);
        } catch (SignatureInvalid $invalid) {
            $missing = SignatureInvalid::MISSING === $invalid->word;

            return $this->refuse(401, $missing ? 'missing signature' : 'invalid signature', [
                'reason' => $invalid->word,
                'detail' => $invalid->getMessage(),
            ]);
        }

        return null;
    }

    /**
     * @param array<string, mixed> $context
     */
    private function refuse(int $status, string $message, array $context = []): Response
    {
        $this->logger->warning('A webhook was refused: {message}.', $context + [
            'message' => $message,
            'status' => $status,
        ]);

        return new JsonResponse(['ok' => false, 'message' => $message], $status);
    }
}
