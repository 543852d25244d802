<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Service;

/**
 * Makes tokens for demos and development. It asks nobody whether the user is who they say, so it refuses in prod.
 */
class DemoTokenService
{
    private const HASHES = ['256' => 'sha256', '384' => 'sha384', '512' => 'sha512'];

    /** By algorithm: the curve as OpenSSL calls it, and the bytes of a coordinate. */
    private const CURVES = ['ES256' => ['prime256v1', 32], 'ES384' => ['secp384r1', 48], 'ES512' => ['secp521r1', 66]];

    /**
     * @param string $algorithm RS256, RS384, RS512, ES256, ES384, ES512, HS256, HS384 or HS512
     * @param string $keyFile   private key in PEM, for RS and ES
     * @param string $secret    for HS
     */
    public function __construct(
        private readonly string $environment,
        private readonly string $algorithm = 'RS256',
        private readonly string $keyFile = '',
        #[\SensitiveParameter]
        private readonly string $secret = '',
        private readonly int $ttl = 3600,
        private readonly string $userClaim = 'user_id',
        private readonly string $projectDir = ''
    ) {
    }

    /**
     * A token for this user, without any question.
     *
     * @param array<string, mixed> $claims more of them, such as `channels`
     *
     * @return array{0: string, 1: string} the token and '', or '' and one line that says why there is none
     */
    public function issue(string $userId, array $claims = []): array
    {
        if ('prod' === $this->environment) {
            return ['', 'Demo tokens are not made in the environment prod.'];
        }
        if ('' === $userId) {
            return ['', 'A token needs a user id.'];
        }
        $now = time();
        $own = [$this->userClaim => $userId, 'iat' => $now, 'exp' => $now + $this->ttl];
        try {
            $input = self::part(['typ' => 'JWT', 'alg' => $this->algorithm]) . '.' . self::part($own + $claims);

            return [$input . '.' . self::base64($this->sign($input)), ''];
        } catch (\RuntimeException | \JsonException $error) {
            return ['', $error->getMessage()];
        }
    }

    private function sign(string $input): string
    {
        if (!preg_match('/^(RS|ES|HS)(256|384|512)$/D', $this->algorithm, $found)) {
            throw new \RuntimeException(
                "DEMO_JWT_ALG is \"$this->algorithm\"; allowed are RS, ES and HS with 256, 384 or 512."
            );
        }
        $hash = self::HASHES[$found[2]];

        return match ($found[1]) {
            'HS' => $this->mac($input, $hash),
            'RS' => $this->signature($input, $hash, \OPENSSL_KEYTYPE_RSA),
            'ES' => $this->fixedLength($this->signature($input, $hash, \OPENSSL_KEYTYPE_EC)),
        };
    }

    private function mac(string $input, string $hash): string
    {
        if ('' === $this->secret) {
            throw new \RuntimeException("DEMO_JWT_SECRET is not set; $this->algorithm needs it.");
        }

        return hash_hmac($hash, $input, $this->secret, true);
    }

    private function signature(string $input, string $hash, int $type): string
    {
        if (!\extension_loaded('openssl')) {
            throw new \RuntimeException("$this->algorithm needs the PHP extension openssl.");
        }
        $key = openssl_pkey_get_private($this->pem());
        $details = false === $key ? false : openssl_pkey_get_details($key);
        if (false === $key || false === $details) {
            throw new \RuntimeException('DEMO_JWT_PRIVATE_KEY_FILE holds no private key in PEM without a passphrase.');
        }
        $curve = self::CURVES[$this->algorithm][0] ?? null;
        if ($details['type'] !== $type || (null !== $curve && $curve !== ($details['ec']['curve_name'] ?? ''))) {
            throw new \RuntimeException(
                "DEMO_JWT_PRIVATE_KEY_FILE is not a key for $this->algorithm: that needs "
                . (null === $curve ? 'an RSA key.' : "a key of the curve $curve.")
            );
        }
        if (!openssl_sign($input, $signature, $key, $hash)) {
            throw new \RuntimeException('DEMO_JWT_PRIVATE_KEY_FILE holds a key that cannot sign.');
        }

        return $signature;
    }

    private function pem(): string
    {
        if ('' === $this->keyFile) {
            throw new \RuntimeException("DEMO_JWT_PRIVATE_KEY_FILE is not set; $this->algorithm needs it.");
        }
        foreach ([$this->keyFile, "$this->projectDir/$this->keyFile"] as $path) {
            $text = is_file($path) ? @file_get_contents($path) : false;
            if (false !== $text) {
                return $text;
            }
        }
        throw new \RuntimeException("DEMO_JWT_PRIVATE_KEY_FILE=$this->keyFile cannot be read.");
    }

    /**
     * From ASN.1, as OpenSSL signs, to the two numbers side by side that JWT wants (RFC 7518, 3.4).
     */
    private function fixedLength(string $der): string
    {
        $size = self::CURVES[$this->algorithm][1];
        // SEQUENCE, its length in one byte or in two, and the first INTEGER.
        $at = 0x81 === \ord($der[1]) ? 3 : 2;
        $numbers = '';
        for ($number = 0; $number < 2; ++$number) {
            $length = \ord($der[$at + 1]);
            $numbers .= str_pad(ltrim(substr($der, $at + 2, $length), "\0"), $size, "\0", \STR_PAD_LEFT);
            $at += 2 + $length;
        }

        return $numbers;
    }

    /**
     * @param array<string, mixed> $value
     */
    private static function part(array $value): string
    {
        return self::base64(json_encode($value, \JSON_THROW_ON_ERROR | \JSON_UNESCAPED_SLASHES));
    }

    private static function base64(string $octets): string
    {
        return rtrim(strtr(base64_encode($octets), '+/', '-_'), '=');
    }
}
