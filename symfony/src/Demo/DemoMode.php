<?php

declare(strict_types=1);

namespace App\Demo;

use Symfony\Component\HttpKernel\Exception\NotFoundHttpException;

/**
 * Whether the chat page and its tokens exist: where `DEMO_MODE` is on, as it is in dev by default, and never in prod.
 */
final class DemoMode
{
    public function __construct(private readonly bool $asked, private readonly string $environment)
    {
    }

    /**
     * @throws NotFoundHttpException this is no demo
     */
    public function demand(): void
    {
        if (!$this->asked || 'prod' === $this->environment) {
            throw new NotFoundHttpException('there is nothing here');
        }
    }
}
