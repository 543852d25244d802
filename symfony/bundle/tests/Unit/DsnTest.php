<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Unit;

use PHPUnit\Framework\TestCase;
use Snoke\WsBundle\Amqp\AmqpDsn;
use Snoke\WsBundle\Exception\ConfigurationInvalid;
use Snoke\WsBundle\Redis\RedisDsn;

final class DsnTest extends TestCase
{
    /**
     * @dataProvider vhosts
     */
    public function testTheVhostIsWhatIsMeant(string $text, string $vhost): void
    {
        self::assertSame($vhost, AmqpDsn::parse($text)->vhost);
    }

    /**
     * @return iterable<array{string, string}>
     */
    public static function vhosts(): iterable
    {
        yield ['amqp://mq', '/'];
        yield ['amqp://mq/', '/'];
        yield ['amqp://mq/%2F', '/'];
        yield ['amqp://mq/%2f', '/'];
        yield ['amqp://guest:guest@rabbitmq:5672/', '/'];
        yield ['amqp://mq/ws', 'ws'];
        yield ['amqp://mq/%2Fws', '/ws'];
        yield ['amqp://mq/a%20b?heartbeat=10', 'a b'];
    }

    public function testPartsOfAnAmqpAddress(): void
    {
        $dsn = AmqpDsn::parse('amqps://al%40ice:p%2Fw%25@[::1]:7/x');
        self::assertSame(
            [true, '::1', 7, 'x', 'al@ice', 'p/w%'],
            [$dsn->tls, $dsn->host, $dsn->port, $dsn->vhost, $dsn->user, $dsn->password]
        );
        self::assertSame('amqps://[::1]:7/x', (string) $dsn);
        self::assertSame([5671, 'guest'], [AmqpDsn::parse('amqps://h')->port, AmqpDsn::parse('amqp://h')->password]);
    }

    /**
     * @dataProvider redisAddresses
     *
     * @param array<string, string|int> $parts
     */
    public function testPartsOfARedisAddress(string $text, array $parts, string $shown): void
    {
        $dsn = RedisDsn::parse($text);
        foreach ($parts as $name => $value) {
            self::assertSame($value, $dsn->$name, $name);
        }
        self::assertSame($shown, (string) $dsn);
    }

    /**
     * @return iterable<array{string, array<string, string|int>, string}>
     */
    public static function redisAddresses(): iterable
    {
        yield ['redis://redis:6379', ['host' => 'redis', 'password' => ''], 'redis://redis:6379/0'];
        yield ['redis://h', ['port' => 6379, 'database' => 0], 'redis://h:6379/0'];
        yield ['redis://h/3', ['database' => 3], 'redis://h:6379/3'];
        yield ['redis://h?db=3', ['database' => 3], 'redis://h:6379/3'];
        yield ['redis://secret@h', ['password' => 'secret', 'user' => ''], 'redis://h:6379/0'];
        yield ['redis://:se%40cret@h', ['password' => 'se@cret', 'user' => ''], 'redis://h:6379/0'];
        yield ['rediss://al:pw@h:7/1', ['scheme' => 'rediss', 'user' => 'al', 'password' => 'pw'], 'rediss://h:7/1'];
        yield ['tcp://[::1]:7', ['scheme' => 'redis', 'host' => '::1'], 'redis://[::1]:7/0'];
        yield ['unix:///run/redis.sock?db=2', ['path' => '/run/redis.sock', 'database' => 2], 'unix:///run/redis.sock'];
    }

    /**
     * @dataProvider nonsense
     */
    public function testNonsenseIsRefusedWithoutQuotingIt(string $class, string $text): void
    {
        try {
            $class::parse($text);
            self::fail('it was taken');
        } catch (ConfigurationInvalid $invalid) {
            self::assertStringNotContainsString('canary', $invalid->getMessage());
        }
    }

    /**
     * @return iterable<array{class-string, string}>
     */
    public static function nonsense(): iterable
    {
        $addresses = ['', 'canary', 'http://canary', 'redis://', 'redis://u:can@ary@h', 'redis://h:0', 'redis://h/x'];
        foreach ($addresses as $text) {
            yield [RedisDsn::class, $text];
        }
        foreach (['', 'canary', 'amqp://', 'amqp://u:can/ary@h', 'amqp://h:99999', 'amqp://h/a/b'] as $text) {
            yield [AmqpDsn::class, $text];
        }
    }

    public function testAPasswordShowsNowhere(): void
    {
        $shown = print_r([AmqpDsn::parse('amqp://u:canary@h'), RedisDsn::parse('redis://:canary@h')], true);
        self::assertStringNotContainsString('canary', $shown);
    }
}
