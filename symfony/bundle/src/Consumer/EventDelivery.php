<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Consumer;

use Psr\EventDispatcher\EventDispatcherInterface;
use Psr\Log\LoggerInterface;
use Snoke\WsBundle\Event\EventReader;
use Snoke\WsBundle\Event\WebsocketEvent;
use Snoke\WsBundle\Exception\EventInvalid;
use Snoke\WsBundle\Exception\EventUnknown;
use Snoke\WsBundle\Service\TracingService;

/**
 * Brings one document to the listeners, again and again if they fail.
 *
 * The next entry waits meanwhile, so the order stays as it was.
 */
final class EventDelivery
{
    private const LONGEST_WAIT = 10.0;

    /**
     * @param (\Closure():void)|null $reset brings the application's services back to a fresh state after each event
     */
    public function __construct(
        private readonly EventReader $reader,
        private readonly EventDispatcherInterface $dispatcher,
        private readonly TracingService $tracing,
        private readonly int $attempts,
        private readonly float $retrySeconds,
        private readonly ?\Closure $reset = null
    ) {
    }

    /**
     * @param array<string, mixed>   $where   for the log: stream and entry, or queue
     * @param (\Closure():void)|null $waiting called before each wait: the entry is still in hand
     */
    public function deliver(
        string $document,
        array $where,
        Stop $stop,
        LoggerInterface $logger,
        ?\Closure $waiting = null
    ): Result {
        try {
            $event = $this->reader->read($document);
        } catch (EventUnknown) {
            $logger->info('An event of a type that this version does not know was passed over.', $where);

            return new Result(Outcome::Done);
        } catch (EventInvalid $error) {
            $logger->error('An entry is no event: {error}', $where + ['error' => $error->getMessage()]);

            return new Result(Outcome::Dead, 'parse_error');
        }
        $where += ['event_id' => $event->getEventId(), 'connection_id' => $event->getConnectionId()];
        for ($attempt = 1; !$this->attempt($event, $attempt, $where, $logger); ++$attempt) {
            if ($attempt >= $this->attempts) {
                return new Result(Outcome::Dead, 'listener_failed');
            }
            if (null !== $waiting) {
                $waiting();
            }
            $stop->sleep(min($this->retrySeconds * 2 ** ($attempt - 1), self::LONGEST_WAIT));
            if ($stop->requested()) {
                return new Result(Outcome::Interrupted);
            }
        }

        return new Result(Outcome::Done);
    }

    /**
     * @param array<string, mixed> $where
     */
    private function attempt(WebsocketEvent $event, int $attempt, array $where, LoggerInterface $logger): bool
    {
        // A listener may stop the propagation; the next attempt must not inherit that.
        $event = clone $event;
        try {
            $this->tracing->within($event->getTraceparent(), fn () => $this->dispatcher->dispatch($event));
            $logger->debug('An event was handled.', $where + ['type' => $event::class]);

            return true;
        } catch (\Throwable $error) {
            $logger->error('A listener failed (attempt {attempt} of {attempts}): {error}', $where + [
                'attempt' => $attempt,
                'attempts' => $this->attempts,
                'error' => $error::class . ': ' . $error->getMessage(),
                'exception' => $error,
            ]);

            return false;
        } finally {
            if (null !== $this->reset) {
                ($this->reset)();
            }
        }
    }
}
