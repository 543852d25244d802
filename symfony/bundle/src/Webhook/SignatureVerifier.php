<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Webhook;

use Snoke\WsBundle\Exception\ConfigurationInvalid;
use Symfony\Component\HttpFoundation\HeaderBag;

/**
 * Is this webhook from the gateway? Two forms of signature, both HMAC-SHA256.
 *
 * Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,<base64>` over
 * `<id>.<timestamp>.<body>`. A secret written `whsec_<base64>` is decoded first.
 *
 * The older form: `X-Webhook-Signature: sha256=<hex>` over the body alone, keyed with the secret as it is written. It
 * says who sent the body, but not when.
 *
 * If any header of the Standard form is there, that form decides alone: the older one is no second chance for a
 * request that fails it, and cannot spoil one that passes, as while secrets rotate.
 */
final class SignatureVerifier
{
    private const STANDARD = ['webhook-id', 'webhook-timestamp', 'webhook-signature'];
    private const OLDER = 'x-webhook-signature';

    /** @var list<string> */
    private readonly array $secrets;

    /** @var list<string> */
    private readonly array $keys;

    /**
     * @param list<string>    $secrets          the current one, and others that are valid while they rotate; blank ones
     *                                          do not count
     * @param int             $tolerance        seconds by which `webhook-timestamp` may differ from our clock
     * @param bool            $requireTimestamp refuse requests that carry the older form only
     * @param (\Closure():int)|null $clock      Unix seconds
     *
     * @throws ConfigurationInvalid a secret cannot be used
     */
    public function __construct(
        #[\SensitiveParameter]
        array $secrets,
        private readonly int $tolerance = 300,
        private readonly bool $requireTimestamp = false,
        private readonly ?\Closure $clock = null
    ) {
        $this->secrets = array_values(array_filter(array_map('trim', $secrets), static fn ($text) => '' !== $text));
        // All are decoded, whichever form comes: a bad secret shows at once, not at the next rotation.
        $this->keys = array_map(self::standardKey(...), $this->secrets);
    }

    /**
     * Whether there is anything to verify with. Without it, every request is refused.
     */
    public function hasSecrets(): bool
    {
        return [] !== $this->secrets;
    }

    /**
     * Returns if one of the secrets signed the body, and in time.
     *
     * @param string $body the bytes as they were received
     *
     * @throws SignatureInvalid
     */
    public function verify(string $body, HeaderBag $headers): void
    {
        $found = self::pick($headers);
        if (array_intersect_key($found, array_flip(self::STANDARD))) {
            $this->judgeAge($this->verifyStandard($body, $found));
        } elseif (!isset($found[self::OLDER])) {
            throw new SignatureInvalid(SignatureInvalid::MISSING, 'the request is not signed');
        } elseif ($this->requireTimestamp) {
            $message = 'the request is signed without a timestamp';
            throw new SignatureInvalid(SignatureInvalid::NO_TIMESTAMP, $message);
        } else {
            $this->verifyOlder($body, $found[self::OLDER]);
        }
    }

    /**
     * @param array<string, string> $found
     */
    private function verifyStandard(string $body, array $found): int
    {
        foreach (self::STANDARD as $name) {
            if (!isset($found[$name])) {
                throw new SignatureInvalid(SignatureInvalid::INCOMPLETE, "the request has no header $name");
            }
        }
        [$id, $timestamp, $signatures] = array_map(static fn (string $name) => $found[$name], self::STANDARD);
        // A dot in the id could move the border between id, timestamp and body under the same signature.
        if (!preg_match('/^[!-\-\/-~]+$/D', $id)) {
            throw new SignatureInvalid(SignatureInvalid::MALFORMED, 'the webhook-id cannot be read');
        }
        if (!preg_match('/^[0-9]{1,12}$/D', $timestamp)) {
            throw new SignatureInvalid(SignatureInvalid::MALFORMED, 'the webhook-timestamp is no number of seconds');
        }
        $presented = [];
        foreach (preg_split('/\s+/', $signatures, -1, \PREG_SPLIT_NO_EMPTY) ?: [] as $item) {
            if (str_starts_with($item, 'v1,')) {
                $presented[] = substr($item, 3);
            }
        }
        if ([] === $presented) {
            throw new SignatureInvalid(SignatureInvalid::MALFORMED, 'the webhook-signature holds no v1 signature');
        }
        $expected = array_map(
            static fn (string $key) => base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true)),
            $this->keys
        );
        if (!self::anyEqual($presented, $expected)) {
            throw new SignatureInvalid(SignatureInvalid::MISMATCH, 'the webhook-signature does not fit the request');
        }

        return (int) $timestamp;
    }

    private function judgeAge(int $timestamp): void
    {
        $age = (null === $this->clock ? time() : ($this->clock)()) - $timestamp;
        if ($age > $this->tolerance) {
            throw new SignatureInvalid(SignatureInvalid::TOO_OLD, "the request was signed $age seconds ago");
        }
        if (-$age > $this->tolerance) {
            $message = 'the request was signed ' . -$age . ' seconds in the future';
            throw new SignatureInvalid(SignatureInvalid::TOO_NEW, $message);
        }
    }

    private function verifyOlder(string $body, string $header): void
    {
        [$scheme, $presented] = explode('=', $header, 2) + [1 => ''];
        if ('sha256' !== strtolower($scheme) || '' === $presented) {
            $message = 'the X-Webhook-Signature does not begin with sha256=';
            throw new SignatureInvalid(SignatureInvalid::MALFORMED, $message);
        }
        $expected = array_map(static fn (string $secret) => hash_hmac('sha256', $body, $secret), $this->secrets);
        if (!self::anyEqual([strtolower($presented)], $expected)) {
            throw new SignatureInvalid(SignatureInvalid::MISMATCH, 'the X-Webhook-Signature does not fit the body');
        }
    }

    private static function standardKey(#[\SensitiveParameter] string $secret): string
    {
        if (!str_starts_with($secret, 'whsec_')) {
            return $secret;
        }
        $key = base64_decode(substr($secret, 6), true);
        if (false === $key || '' === $key) {
            $message = 'A webhook secret begins with whsec_, but what follows is not base64 (SYMFONY_WEBHOOK_SECRET, '
                . 'WEBHOOK_SECRET_PREVIOUS).';
            throw new ConfigurationInvalid($message);
        }

        return $key;
    }

    /**
     * @return array<string, string> the headers that matter
     */
    private static function pick(HeaderBag $headers): array
    {
        $found = [];
        foreach ([...self::STANDARD, self::OLDER] as $name) {
            $values = $headers->all($name);
            if (\count($values) > 1) {
                // Some other reader of this request may take the other one.
                throw new SignatureInvalid(SignatureInvalid::MALFORMED, "the header $name is repeated");
            }
            if (isset($values[0])) {
                $found[$name] = trim($values[0]);
            }
        }

        return $found;
    }

    /**
     * Compares each with each in constant time, without stopping at the first that fits.
     *
     * @param list<string> $presented
     * @param list<string> $expected
     */
    private static function anyEqual(array $presented, array $expected): bool
    {
        $equal = false;
        foreach ($presented as $given) {
            foreach ($expected as $wanted) {
                $equal = hash_equals($wanted, $given) || $equal;
            }
        }

        return $equal;
    }
}
