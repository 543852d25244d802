<?php

declare(strict_types=1);

namespace App\EventListener;

use App\Demo\StoreFailed;
use Psr\Log\LoggerInterface;
use Snoke\WsBundle\Exception\GatewayRefused;
use Snoke\WsBundle\Exception\PresenceFailed;
use Snoke\WsBundle\Exception\PublishFailed;
use Symfony\Component\EventDispatcher\Attribute\AsEventListener;
use Symfony\Component\HttpFoundation\JsonResponse;
use Symfony\Component\HttpFoundation\Response;
use Symfony\Component\HttpKernel\Event\ExceptionEvent;
use Symfony\Component\HttpKernel\Exception\HttpExceptionInterface;
use Symfony\Component\Routing\Exception\MethodNotAllowedException;
use Symfony\Component\Routing\Exception\ResourceNotFoundException;

/**
 * Says what went wrong as a problem document (RFC 9457). What is no fault of the caller's is logged.
 */
#[AsEventListener(priority: 64)]
final class ProblemListener
{
    public function __construct(private readonly LoggerInterface $logger)
    {
    }

    public function __invoke(ExceptionEvent $event): void
    {
        $path = $event->getRequest()->getPathInfo();
        if (!str_starts_with($path, '/api') && !str_starts_with($path, '/demo')) {
            return;
        }
        [$status, $detail, $headers] = self::answer($event->getThrowable());
        if (0 === $status) {
            return;
        }
        if ($status >= 500) {
            $this->logger->error('{path} was answered with {status}: {error}', [
                'path' => $path,
                'status' => $status,
                'error' => $event->getThrowable()->getMessage(),
            ]);
        }
        $event->setResponse(new JsonResponse([
            'type' => 'about:blank',
            'title' => Response::$statusTexts[$status] ?? 'Error',
            'status' => $status,
            'detail' => $detail,
        ], $status, $headers + ['Content-Type' => 'application/problem+json', 'Cache-Control' => 'no-store']));
    }

    /**
     * @return array{int, string, array<string, mixed>} 0 if it is a fault of ours, which Symfony shows
     */
    private static function answer(\Throwable $error): array
    {
        return match (true) {
            $error instanceof HttpExceptionInterface => [
                $error->getStatusCode(),
                self::detail($error),
                $error->getHeaders(),
            ],
            $error instanceof GatewayRefused && $error->getCode() < 500 => [502, 'the gateway refused', []],
            $error instanceof PublishFailed, $error instanceof PresenceFailed => [
                503,
                'the gateway cannot be reached',
                ['Retry-After' => '2'],
            ],
            $error instanceof StoreFailed => [503, 'the last message cannot be looked at', ['Retry-After' => '2']],
            default => [0, '', []],
        };
    }

    private static function detail(HttpExceptionInterface $error): string
    {
        // The router's own words name our addresses.
        return match (true) {
            $error->getPrevious() instanceof ResourceNotFoundException => 'there is nothing here',
            $error->getPrevious() instanceof MethodNotAllowedException => 'this method is not for this address',
            default => $error->getMessage(),
        };
    }
}
