<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Unit;

use PHPUnit\Framework\TestCase;
use Snoke\WsBundle\Service\DemoTokenService;

final class DemoTokenServiceTest extends TestCase
{
    private const HASHES = ['256' => 'sha256', '384' => 'sha384', '512' => 'sha512'];
    private const CURVES = ['ES256' => 'prime256v1', 'ES384' => 'secp384r1', 'ES512' => 'secp521r1'];

    /** @var list<string> */
    private array $files = [];

    protected function tearDown(): void
    {
        array_map('unlink', $this->files);
        $this->files = [];
    }

    /**
     * @dataProvider algorithms
     */
    public function testTheSignatureIsTheOneThatTheAlgorithmNames(string $algorithm): void
    {
        [$file, $public] = $this->key(self::CURVES[$algorithm] ?? null);
        $secret = str_starts_with($algorithm, 'HS') ? 'a secret' : '';
        // An ES signature is random: short numbers in it come up now and then.
        for ($round = 0; $round < (str_starts_with($algorithm, 'ES') ? 50 : 1); ++$round) {
            $tokens = new DemoTokenService('dev', $algorithm, $file, $secret);
            [$jwt, $error] = $tokens->issue('42', ['channels' => ['a']]);
            self::assertSame('', $error);
            [$header, $claims, $signature] = explode('.', $jwt);
            self::assertSame(['typ' => 'JWT', 'alg' => $algorithm], json_decode(self::decoded($header), true));
            $read = json_decode(self::decoded($claims), true);
            self::assertSame(['42', ['a'], 3600], [$read['user_id'], $read['channels'], $read['exp'] - $read['iat']]);
            self::assertTrue(self::fits("$header.$claims", self::decoded($signature), $algorithm, $public, $secret));
        }
    }

    /**
     * @return iterable<array{string}>
     */
    public static function algorithms(): iterable
    {
        foreach (['RS', 'ES', 'HS'] as $family) {
            foreach (array_keys(self::HASHES) as $bits) {
                yield [$family . $bits];
            }
        }
    }

    /**
     * @dataProvider troubles
     */
    public function testWhatCannotBeDoneIsOneLine(
        string $algorithm,
        string $keyFor,
        string $secret,
        string $error
    ): void {
        $file = match ($keyFor) {
            '' => '',
            'missing' => '/nowhere/key.pem',
            'text' => $this->file('canary'),
            'rsa' => $this->key(null)[0],
            default => $this->key($keyFor)[0],
        };
        [$jwt, $said] = (new DemoTokenService('dev', $algorithm, $file, $secret))->issue('42');
        self::assertSame('', $jwt);
        self::assertStringContainsString($error, $said);
        self::assertStringNotContainsString('canary', $said);
    }

    /**
     * @return iterable<array{string, string, string, string}>
     */
    public static function troubles(): iterable
    {
        yield ['RS256', '', '', 'DEMO_JWT_PRIVATE_KEY_FILE is not set'];
        yield ['RS256', 'missing', '', '/nowhere/key.pem cannot be read'];
        yield ['RS256', 'text', '', 'holds no private key'];
        yield ['RS256', 'prime256v1', '', 'needs an RSA key'];
        yield ['ES256', 'rsa', '', 'a key of the curve prime256v1'];
        yield ['ES384', 'prime256v1', '', 'a key of the curve secp384r1'];
        yield ['HS256', '', '', 'DEMO_JWT_SECRET is not set'];
        yield ['none', '', 'x', 'DEMO_JWT_ALG is "none"'];
        yield ['HS1', '', 'x', 'DEMO_JWT_ALG is "HS1"'];
    }

    public function testAUserHasAnId(): void
    {
        self::assertSame(['', 'A token needs a user id.'], (new DemoTokenService('dev', 'HS256', '', 'x'))->issue(''));
    }

    public function testClaimsCannotReplaceTheUser(): void
    {
        [$jwt] = (new DemoTokenService('dev', 'HS256', '', 'x'))->issue('42', ['user_id' => '1']);
        self::assertSame('42', json_decode(self::decoded(explode('.', $jwt)[1]), true)['user_id']);
    }

    /**
     * @return array{string, string} the private key's file and the public key
     */
    private function key(?string $curve): array
    {
        $key = openssl_pkey_new(null === $curve
            ? ['private_key_type' => \OPENSSL_KEYTYPE_RSA, 'private_key_bits' => 2048]
            : ['private_key_type' => \OPENSSL_KEYTYPE_EC, 'curve_name' => $curve]);
        openssl_pkey_export($key, $pem);

        return [$this->file($pem), openssl_pkey_get_details($key)['key']];
    }

    private function file(string $content): string
    {
        $this->files[] = $file = (string) tempnam(sys_get_temp_dir(), 'key');
        file_put_contents($file, $content);

        return $file;
    }

    private static function fits(
        string $input,
        string $signature,
        string $algorithm,
        string $public,
        string $secret
    ): bool {
        $hash = self::HASHES[substr($algorithm, 2)];
        if (str_starts_with($algorithm, 'HS')) {
            return hash_equals(hash_hmac($hash, $input, $secret, true), $signature);
        }
        if (str_starts_with($algorithm, 'ES')) {
            $size = ['ES256' => 64, 'ES384' => 96, 'ES512' => 132][$algorithm];
            self::assertSame($size, \strlen($signature));
            $signature = self::der($signature);
        }

        return 1 === openssl_verify($input, $signature, $public, $hash);
    }

    private static function der(string $signature): string
    {
        $numbers = '';
        foreach (str_split($signature, \strlen($signature) >> 1) as $number) {
            $number = ltrim($number, "\0");
            $number = \ord($number[0]) > 0x7F ? "\0$number" : $number;
            $numbers .= "\x02" . \chr(\strlen($number)) . $number;
        }
        $length = \strlen($numbers);

        return "\x30" . ($length > 0x7F ? "\x81" : '') . \chr($length) . $numbers;
    }

    private static function decoded(string $part): string
    {
        return (string) base64_decode(strtr($part, '-_', '+/'), true);
    }
}
