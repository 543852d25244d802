<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

/**
 * Hands the trace context of an event on to what its listeners publish.
 *
 * With `snoke_ws.tracing.enabled` and open-telemetry/api installed, the current span of OpenTelemetry counts first.
 */
class TracingService
{
    private ?string $current = null;

    public function __construct(private readonly bool $openTelemetry = false)
    {
    }

    public function isEnabled(): bool
    {
        return $this->openTelemetry
            && class_exists(\OpenTelemetry\API\Trace\Propagation\TraceContextPropagator::class);
    }

    /**
     * Runs something in the context of an event.
     *
     * @template T
     *
     * @param callable():T $work
     *
     * @return T
     */
    public function within(?string $traceparent, callable $work): mixed
    {
        [$before, $this->current] = [$this->current, $traceparent];
        try {
            return $work();
        } finally {
            $this->current = $before;
        }
    }

    /**
     * The W3C `traceparent` of what is going on, if there is one.
     */
    public function currentTraceparent(): ?string
    {
        if ($this->isEnabled()) {
            $carrier = [];
            \OpenTelemetry\API\Trace\Propagation\TraceContextPropagator::getInstance()->inject($carrier);
            if (isset($carrier['traceparent'])) {
                return (string) $carrier['traceparent'];
            }
        }

        return $this->current;
    }
}
