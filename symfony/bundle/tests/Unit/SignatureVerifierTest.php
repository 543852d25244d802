<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Unit;

use PHPUnit\Framework\TestCase;
use Snoke\WsBundle\Exception\ConfigurationInvalid;
use Snoke\WsBundle\Webhook\SignatureInvalid;
use Snoke\WsBundle\Webhook\SignatureVerifier;
use Symfony\Component\HttpFoundation\HeaderBag;

final class SignatureVerifierTest extends TestCase
{
    private const BODY = '{"type":"connected"}';
    private const NOW = 1_719_842_561;

    /**
     * The example of the Standard Webhooks specification.
     */
    public function testTheVectorOfTheSpecificationFits(): void
    {
        $verifier = new SignatureVerifier(
            ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
            clock: static fn () => 1_614_265_330
        );
        $verifier->verify('{"test": 2432232314}', new HeaderBag([
            'webhook-id' => 'msg_p5jXN8AQM9LWM0D4loKWxJek',
            'webhook-timestamp' => '1614265330',
            'webhook-signature' => 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
        ]));
        $this->addToAssertionCount(1);
    }

    public function testEitherFormAndEverySecretFit(): void
    {
        foreach (['one', 'two'] as $secret) {
            $this->verify(self::older($secret), ['one', ' two ', '']);
            $this->verify(self::standard($secret), ['one', 'two']);
        }
        $this->verify(['X-Webhook-Signature' => strtoupper(self::older('one')['X-Webhook-Signature'])], ['one']);
        // While secrets rotate, the older form is made with the new one only.
        $this->verify(self::standard('two') + self::older('new'), ['two']);
        $this->addToAssertionCount(1);
    }

    /**
     * @dataProvider refusals
     *
     * @param array<string, string|list<string>> $headers
     */
    public function testWhatDoesNotFitIsRefusedWithAWord(array $headers, string $word, bool $timestamp = false): void
    {
        try {
            $this->verify($headers, ['one'], $timestamp);
            self::fail('it was believed');
        } catch (SignatureInvalid $invalid) {
            self::assertSame($word, $invalid->word);
            self::assertStringNotContainsString(hash_hmac('sha256', self::BODY, 'one'), $invalid->getMessage());
        }
    }

    /**
     * @return iterable<string, array{0: array<string, string|list<string>>, 1: string, 2?: bool}>
     */
    public static function refusals(): iterable
    {
        $standard = self::standard('one');
        yield 'nothing' => [[], 'missing'];
        yield 'another secret' => [self::older('other'), 'mismatch'];
        yield 'another hash' => [['X-Webhook-Signature' => 'sha1=aa'], 'malformed'];
        yield 'empty' => [['X-Webhook-Signature' => ''], 'malformed'];
        yield 'older only' => [self::older('one'), 'no_timestamp', true];
        yield 'no id' => [array_diff_key($standard, ['webhook-id' => 1]), 'incomplete'];
        yield 'the older form is no second chance' => [['webhook-id' => 'x'] + self::older('one'), 'incomplete'];
        yield 'a dot in the id' => [['webhook-id' => 'a.b'] + $standard, 'malformed'];
        yield 'no number' => [['webhook-timestamp' => '1e9'] + $standard, 'malformed'];
        yield 'no v1' => [['webhook-signature' => 'v2,AAAA'] + $standard, 'malformed'];
        yield 'another time' => [['webhook-timestamp' => (string) (self::NOW - 1)] + $standard, 'mismatch'];
        yield 'too old' => [self::standard('one', self::NOW - 301), 'too_old'];
        yield 'too new' => [self::standard('one', self::NOW + 301), 'too_new'];
        yield 'twice' => [['webhook-id' => ['a', 'b']] + $standard, 'malformed'];
    }

    public function testTheWindowHasBothItsEnds(): void
    {
        $this->verify(self::standard('one', self::NOW - 300), ['one']);
        $this->verify(self::standard('one', self::NOW + 300), ['one']);
        $this->addToAssertionCount(1);
    }

    public function testABadSecretIsNamedAtOnceAndNotQuoted(): void
    {
        try {
            new SignatureVerifier(['good', 'whsec_canary!']);
            self::fail('it was taken');
        } catch (ConfigurationInvalid $invalid) {
            self::assertStringContainsString('WEBHOOK_SECRET', $invalid->getMessage());
            self::assertStringNotContainsString('canary', (string) $invalid);
        }
    }

    public function testBlankSecretsDoNotCount(): void
    {
        self::assertFalse((new SignatureVerifier(['', ' ']))->hasSecrets());
        self::assertTrue((new SignatureVerifier(['', 'x']))->hasSecrets());
    }

    /**
     * @param array<string, string|list<string>> $headers
     * @param list<string>                       $secrets
     */
    private function verify(array $headers, array $secrets, bool $requireTimestamp = false): void
    {
        $verifier = new SignatureVerifier($secrets, 300, $requireTimestamp, static fn () => self::NOW);
        $verifier->verify(self::BODY, new HeaderBag($headers));
    }

    /**
     * @return array<string, string>
     */
    private static function older(string $secret): array
    {
        return ['X-Webhook-Signature' => 'sha256=' . hash_hmac('sha256', self::BODY, $secret)];
    }

    /**
     * @return array<string, string>
     */
    private static function standard(string $secret, int $timestamp = self::NOW): array
    {
        return [
            'webhook-id' => 'id-1',
            'webhook-timestamp' => (string) $timestamp,
            'webhook-signature' => 'v1,' . base64_encode(
                hash_hmac('sha256', "id-1.$timestamp." . self::BODY, $secret, true)
            ),
        ];
    }
}
