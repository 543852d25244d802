<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

use Snoke\WsBundle\Contract\ConnectionSubjectInterface;
use Snoke\WsBundle\Contract\SubjectKeyResolverInterface;

/**
 * Objects say their subject themselves. A text that begins with a known prefix (the user prefix, `channel:`, and those
 * in `snoke_ws.subjects.prefixes`) is a whole subject; every other text or integer is a user's id.
 */
final class SimpleSubjectKeyResolver implements SubjectKeyResolverInterface
{
    /** @var list<string> */
    private readonly array $prefixes;

    /**
     * @param list<string> $prefixes beside the user prefix
     */
    public function __construct(private readonly string $userPrefix = 'user:', array $prefixes = ['channel:'])
    {
        $this->prefixes = [$userPrefix, ...$prefixes];
    }

    public function resolve(mixed $subject): string
    {
        if ($subject instanceof ConnectionSubjectInterface) {
            return $subject->subjectKey();
        }
        if (\is_object($subject) && method_exists($subject, 'subjectKey')) {
            return (string) $subject->subjectKey();
        }
        if (!\is_string($subject) && !\is_int($subject) && !$subject instanceof \Stringable) {
            throw new \InvalidArgumentException(sprintf(
                'A subject is a text, an integer or an object with subjectKey(), not %s.',
                get_debug_type($subject)
            ));
        }
        $text = (string) $subject;
        if ('' === $text) {
            throw new \InvalidArgumentException('A subject without a name addresses nobody.');
        }
        foreach ($this->prefixes as $prefix) {
            if (str_starts_with($text, $prefix) && $text !== $prefix) {
                return $text;
            }
        }

        return $this->userPrefix . $text;
    }
}
