<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Event;

use Snoke\WsBundle\Exception\EventInvalid;
use Snoke\WsBundle\Exception\EventUnknown;
use Snoke\WsBundle\Json;

/**
 * Reads the document that a webhook, a stream entry or an AMQP message holds.
 *
 * It says nothing about who sent it: the signature comes first. Fields that are not known are ignored.
 */
final class EventReader
{
    /**
     * @throws EventInvalid the text is no event; the message names the field
     * @throws EventUnknown it is one, but of a type from the future
     */
    public function read(string $text): WebsocketEvent
    {
        try {
            $document = Json::decodeObject($text);
        } catch (\UnexpectedValueException $error) {
            throw new EventInvalid($error->getMessage());
        }
        $type = self::required($document, 'type', 'string');
        if (!\in_array($type, ['connected', 'disconnected', 'message_received'], true)) {
            throw new EventUnknown('the type of the event is not known');
        }
        $common = [
            self::required($document, 'connection_id', 'string'),
            self::required($document, 'user_id', 'string'),
            self::subjects($document),
            self::required($document, 'connected_at', 'integer'),
        ];
        $details = new EventDetails(
            self::optional($document, 'event_id', 'string'),
            self::optional($document, 'occurred_at_ms', 'integer'),
            self::optional($document, 'node_id', 'string'),
            self::optional($document, 'seq', 'integer'),
            self::optional($document, 'traceparent', 'string'),
            self::optional($document, 'client_ip', 'string'),
            self::optional($document, 'claims', 'array'),
            $document
        );

        return match ($type) {
            'connected' => new WebsocketConnectionEstablishedEvent(...$common, details: $details),
            'disconnected' => new WebsocketConnectionClosedEvent(
                ...$common,
                code: self::optional($document, 'code', 'integer'),
                reason: self::optional($document, 'reason', 'string'),
                cause: self::optional($document, 'cause', 'string'),
                details: $details
            ),
            'message_received' => new WebsocketMessageReceivedEvent(
                ...$common,
                message: self::required($document, 'message', 'array'),
                raw: self::required($document, 'raw', 'string'),
                orderingKey: self::optional($document, 'ordering_key', 'string'),
                orderingStrategy: self::optional($document, 'ordering_strategy', 'string'),
                details: $details
            ),
        };
    }

    /**
     * @param array<array-key, mixed> $document
     */
    private static function required(array $document, string $name, string $type): mixed
    {
        return self::optional($document, $name, $type) ?? throw new EventInvalid($name . ' is missing');
    }

    /**
     * @param array<array-key, mixed> $document
     */
    private static function optional(array $document, string $name, string $type): mixed
    {
        $value = $document[$name] ?? null;
        if (null !== $value && \gettype($value) !== $type) {
            throw new EventInvalid($name . ' is not of type ' . ('array' === $type ? 'object' : $type));
        }

        return $value;
    }

    /**
     * @param array<array-key, mixed> $document
     *
     * @return list<string>
     */
    private static function subjects(array $document): array
    {
        $subjects = self::required($document, 'subjects', 'array');
        if (!array_is_list($subjects) || array_filter($subjects, 'is_string') !== $subjects) {
            throw new EventInvalid('subjects is not a list of strings');
        }

        return $subjects;
    }
}
