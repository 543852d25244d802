<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Subject;

use Snoke\WsBundle\Contract\ConnectionSubjectInterface;

/**
 * A subject that is what it says, whatever the id looks like: the way to address ids that come from outside.
 */
final class Subject implements ConnectionSubjectInterface
{
    private function __construct(private readonly string $key)
    {
    }

    /**
     * @param string $prefix what the gateway has as `SUBJECT_USER_PREFIX`
     */
    public static function user(string|int $id, string $prefix = 'user:'): self
    {
        return self::of($prefix . self::named((string) $id));
    }

    public static function channel(string $name): self
    {
        return self::of('channel:' . self::named($name));
    }

    /**
     * Every connection. A plain `'*'` is only a user with an odd id.
     */
    public static function everybody(): self
    {
        return new self('*');
    }

    /**
     * A whole subject of another kind.
     */
    public static function of(string $key): self
    {
        return new self(self::named($key));
    }

    public function subjectKey(): string
    {
        return $this->key;
    }

    private static function named(string $text): string
    {
        if ('' === $text) {
            throw new \InvalidArgumentException('A subject without a name addresses nobody.');
        }

        return $text;
    }
}
