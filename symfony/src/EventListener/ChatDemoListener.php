<?php

declare(strict_types=1);

namespace App\EventListener;

use App\Demo\OnlineUsers;
use Psr\Log\LoggerInterface;
use Snoke\WsBundle\Event\WebsocketMessageReceivedEvent;
use Snoke\WsBundle\Exception\GatewayClientError;
use Snoke\WsBundle\Exception\PresenceFailed;
use Snoke\WsBundle\Service\WebsocketPublisher;
use Snoke\WsBundle\Subject\Subject;
use Symfony\Component\EventDispatcher\Attribute\AsEventListener;

/**
 * A chat room for all users: `{"type":"chat","text":T}` (or `payload` in the place of `text`) from one becomes
 * `{"type":"chat","user":"user:ID","text":T,"ts":seconds}` to everybody online.
 *
 * If it cannot be published the exception goes on, and the event comes again: nothing that was said is lost.
 */
#[AsEventListener]
final class ChatDemoListener
{
    private const MOST_SUBJECTS = 1000;
    /** It would be refused the next time, too. */
    private const HOPELESS = [400, 413, 422];

    public function __construct(
        private readonly WebsocketPublisher $publisher,
        private readonly OnlineUsers $online,
        private readonly LoggerInterface $logger
    ) {
    }

    public function __invoke(WebsocketMessageReceivedEvent $event): void
    {
        $text = self::text($event->getMessage());
        if ('' === $text) {
            return;
        }
        $chat = ['type' => 'chat', 'user' => 'user:' . $event->getUserId(), 'text' => $text, 'ts' => time()];
        try {
            $this->publisher->send($this->listeners($event), $chat);
        } catch (GatewayClientError $refusal) {
            if (!\in_array($refusal->getCode(), self::HOPELESS, true)) {
                throw $refusal;
            }
            $this->logger->error('A chat message was not published: {error}', ['error' => $refusal->getMessage()]);
        }
    }

    /**
     * What was said; blank if this is no chat message.
     */
    private static function text(mixed $message): string
    {
        if (!\is_array($message) || 'chat' !== ($message['type'] ?? null)) {
            return '';
        }
        $text = $message['text'] ?? $message['payload'] ?? null;

        return \is_string($text) ? (string) preg_replace('/^[\s\p{Z}]+|[\s\p{Z}]+$/u', '', $text) : '';
    }

    /**
     * @return non-empty-list<Subject>
     */
    private function listeners(WebsocketMessageReceivedEvent $event): array
    {
        try {
            // The sender may have gone since, and hears it in another tab.
            $users = array_values(array_unique([...$this->online->after($event), $event->getUserId()]));
        } catch (PresenceFailed $error) {
            $this->logger->warning('Nobody knows who is online, so all are told: {error}', [
                'error' => $error->getMessage(),
            ]);

            return [Subject::everybody()];
        }

        // Ids come from outside: `channel:x` is a user here.
        return \count($users) > self::MOST_SUBJECTS ? [Subject::everybody()] : array_map(Subject::user(...), $users);
    }
}
