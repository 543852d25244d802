<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Settings;

use Snoke\WsBundle\Exception\ConfigurationInvalid;

/**
 * The configuration tree and the environment, read value by value at run time.
 *
 * A value of the tree counts first, then the named environment variables in their order, then the default. A blank
 * one counts as not set, wherever it stands.
 *
 * @internal
 */
final class Values
{
    /**
     * @param array<string, mixed>       $tree        the configuration below `snoke_ws`
     * @param array<string, string|null> $environment
     */
    public function __construct(
        #[\SensitiveParameter]
        private readonly array $tree,
        #[\SensitiveParameter]
        private readonly array $environment
    ) {
    }

    /**
     * @param string       $path  such as `transport.http.base_url`
     * @param list<string> $names of environment variables
     */
    public function text(string $path, array $names = [], string $default = ''): string
    {
        $value = $this->tree;
        foreach (explode('.', $path) as $name) {
            $value = \is_array($value) ? ($value[$name] ?? null) : null;
        }
        if (null !== $value && !\is_scalar($value)) {
            throw new ConfigurationInvalid("snoke_ws.$path is no single value.");
        }
        $candidates = [\is_bool($value) ? ($value ? 'true' : 'false') : (string) $value];
        foreach ($names as $name) {
            $candidates[] = (string) ($this->environment[$name] ?? '');
        }
        foreach ($candidates as $candidate) {
            if ('' !== trim($candidate)) {
                return trim($candidate);
            }
        }

        return $default;
    }

    /**
     * @param list<string> $names
     */
    public function needed(string $path, array $names): string
    {
        $text = $this->text($path, $names);
        if ('' === $text) {
            throw new ConfigurationInvalid(self::title($path, $names) . ' is not set.');
        }

        return $text;
    }

    /**
     * @param list<string> $choices
     * @param list<string> $names
     */
    public function choice(string $path, array $choices, array $names = [], string $default = ''): string
    {
        $text = strtolower($this->text($path, $names, $default));
        if ($text !== $default && !\in_array($text, $choices, true)) {
            $allowed = implode(', ', $choices);
            throw new ConfigurationInvalid(self::title($path, $names) . " is \"$text\"; allowed are: $allowed.");
        }

        return $text;
    }

    public function flag(string $path, bool $default): bool
    {
        $text = strtolower($this->text($path, [], $default ? 'true' : 'false'));

        return match ($text) {
            'true', '1', 'yes', 'on' => true,
            'false', '0', 'no', 'off' => false,
            default => throw new ConfigurationInvalid("snoke_ws.$path is \"$text\"; allowed are: true, false."),
        };
    }

    public function integer(string $path, int $default, int $least = 0): int
    {
        $text = $this->text($path, [], (string) $default);
        $number = filter_var($text, \FILTER_VALIDATE_INT);
        if (false === $number || $number < $least) {
            throw new ConfigurationInvalid("snoke_ws.$path is \"$text\"; allowed are whole numbers from $least.");
        }

        return $number;
    }

    public function seconds(string $path, float $default): float
    {
        $text = $this->text($path, [], (string) $default);
        $number = filter_var($text, \FILTER_VALIDATE_FLOAT);
        if (false === $number || $number <= 0 || !is_finite($number)) {
            throw new ConfigurationInvalid("snoke_ws.$path is \"$text\"; allowed are seconds above 0.");
        }

        return $number;
    }

    /**
     * A list in the tree, or a text with commas.
     *
     * @return list<string>
     */
    public function texts(string $path): array
    {
        $value = $this->tree;
        foreach (explode('.', $path) as $name) {
            $value = \is_array($value) ? ($value[$name] ?? null) : null;
        }
        $items = \is_array($value) ? $value : explode(',', (string) $value);

        return array_values(array_filter(array_map(static fn ($item) => trim((string) $item), $items)));
    }

    /**
     * @param list<string> $names
     */
    private static function title(string $path, array $names): string
    {
        return "snoke_ws.$path" . ([] === $names ? '' : ' (' . implode(', ', $names) . ')');
    }

    /**
     * @return array<string, mixed>
     */
    public function __debugInfo(): array
    {
        return [];
    }
}
