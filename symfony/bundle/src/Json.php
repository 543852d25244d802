<?php

declare(strict_types=1);

namespace Snoke\WsBundle;

/**
 * JSON as the gateway writes and reads it.
 *
 * @internal
 */
final class Json
{
    /** The gateway lets clients nest as deep as 1,024; the event around them adds a little. */
    private const DEPTH = 1_100;

    /**
     * @throws \InvalidArgumentException JSON has no word for a part of the value
     */
    public static function encode(mixed $value): string
    {
        try {
            return json_encode(
                $value,
                \JSON_THROW_ON_ERROR | \JSON_UNESCAPED_SLASHES | \JSON_UNESCAPED_UNICODE | \JSON_PRESERVE_ZERO_FRACTION,
                self::DEPTH
            );
        } catch (\JsonException $error) {
            throw new \InvalidArgumentException('The payload is no JSON: ' . $error->getMessage(), 0, $error);
        }
    }

    /**
     * Objects become arrays; integers beyond 64 bits become strings, so that no digit is lost.
     *
     * @return array<array-key, mixed>
     *
     * @throws \UnexpectedValueException the text is no JSON object
     */
    public static function decodeObject(string $text): array
    {
        try {
            $value = json_decode($text, true, self::DEPTH, \JSON_THROW_ON_ERROR | \JSON_BIGINT_AS_STRING);
        } catch (\JsonException $error) {
            throw new \UnexpectedValueException('it is not JSON: ' . $error->getMessage());
        }
        // An empty object and an empty list look alike as arrays.
        if (!\is_array($value) || '{' !== (ltrim($text, " \t\r\n")[0] ?? '')) {
            throw new \UnexpectedValueException('it is no JSON object');
        }

        return $value;
    }
}
