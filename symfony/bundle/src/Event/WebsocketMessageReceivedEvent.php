<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Event;

/**
 * A client sent a message (`message_received`).
 */
class WebsocketMessageReceivedEvent extends WebsocketEvent
{
    /**
     * @param list<string> $subjects
     */
    public function __construct(
        string $connectionId,
        string $userId,
        array $subjects,
        int $connectedAt,
        private readonly mixed $message,
        private readonly string $raw,
        private readonly ?string $orderingKey = null,
        private readonly ?string $orderingStrategy = null,
        ?EventDetails $details = null
    ) {
        parent::__construct($connectionId, $userId, $subjects, $connectedAt, $details);
    }

    /**
     * The JSON object that the client sent, as an array. For anything else `['type' => 'raw', 'payload' => the text]`,
     * with `'encoding' => 'base64'` if it was binary.
     *
     * @return mixed an array, unless the application made this event itself
     */
    public function getMessage(): mixed
    {
        return $this->message;
    }

    /**
     * The text exactly as received, base64 if it was binary.
     */
    public function getRaw(): string
    {
        return $this->raw;
    }

    public function getOrderingKey(): ?string
    {
        return $this->orderingKey;
    }

    /**
     * `topic` or `subject`.
     */
    public function getOrderingStrategy(): ?string
    {
        return $this->orderingStrategy;
    }
}
