<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Unit;

use PHPUnit\Framework\TestCase;
use Snoke\WsBundle\Contract\ConnectionSubjectInterface;
use Snoke\WsBundle\Service\SimpleSubjectKeyResolver;
use Snoke\WsBundle\Subject\Subject;

final class SubjectsTest extends TestCase
{
    /**
     * @dataProvider subjects
     */
    public function testWhatIsAddressed(mixed $subject, string $key): void
    {
        self::assertSame($key, (new SimpleSubjectKeyResolver('user:', ['channel:', 'order:']))->resolve($subject));
    }

    /**
     * @return iterable<array{mixed, string}>
     */
    public static function subjects(): iterable
    {
        yield ['42', 'user:42'];
        yield [42, 'user:42'];
        yield ['user:42', 'user:42'];
        yield ['channel:news', 'channel:news'];
        yield ['order:7', 'order:7'];
        yield ['tenant:7', 'user:tenant:7'];
        yield ['user:', 'user:user:'];
        yield ['*', 'user:*'];
        yield [Subject::everybody(), '*'];
        yield [Subject::user('channel:news'), 'user:channel:news'];
        yield [Subject::user(42, 'member:'), 'member:42'];
        yield [Subject::channel('news'), 'channel:news'];
        yield [Subject::of('tenant:7'), 'tenant:7'];
        yield [new class () implements ConnectionSubjectInterface {
            public function subjectKey(): string
            {
                return 'mine';
            }
        }, 'mine'];
        yield [new class () {
            public function subjectKey(): string
            {
                return 'duck';
            }
        }, 'duck'];
    }

    /**
     * @dataProvider nobodies
     */
    public function testNobodyIsRefused(mixed $subject): void
    {
        $this->expectException(\InvalidArgumentException::class);
        (new SimpleSubjectKeyResolver())->resolve($subject);
    }

    /**
     * @return iterable<array{mixed}>
     */
    public static function nobodies(): iterable
    {
        yield [''];
        yield [null];
        yield [1.5];
        yield [['42']];
        yield [new \stdClass()];
    }

    public function testASubjectHasAName(): void
    {
        $this->expectException(\InvalidArgumentException::class);
        Subject::user('');
    }
}
