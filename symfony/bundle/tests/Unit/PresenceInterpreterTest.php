<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Unit;

use PHPUnit\Framework\TestCase;
use Snoke\WsBundle\Service\PresenceInterpreter;

final class PresenceInterpreterTest extends TestCase
{
    private const NOW = 1_000;

    /**
     * @dataProvider cases
     *
     * @param list<string> $alive
     */
    public function testWhoIsAlive(string $strategy, int $window, bool $useLastSeen, bool $live, array $alive): void
    {
        $clock = static fn () => self::NOW;
        $interpreter = new PresenceInterpreter($strategy, $window, $window, 15, $useLastSeen, $clock);
        $connections = [
            ['connection_id' => 'fresh', 'connected_at' => 1, 'last_seen_at' => self::NOW - 45],
            ['connection_id' => 'stale', 'connected_at' => 1, 'last_seen_at' => self::NOW - 46],
            ['connection_id' => 'undated', 'connected_at' => 1, 'last_seen_at' => null],
            ['connection_id' => 'new', 'connected_at' => self::NOW, 'last_seen_at' => null],
        ];
        self::assertSame($alive, array_column($interpreter->alive($connections, $live), 'connection_id'));
    }

    /**
     * @return iterable<array{string, int, bool, bool, list<string>}>
     */
    public static function cases(): iterable
    {
        $all = ['fresh', 'stale', 'undated', 'new'];
        yield ['none', 30, true, false, $all];
        yield ['session', 30, true, false, $all];
        yield ['ttl', 0, true, false, $all];
        yield ['ttl', 30, true, false, ['fresh', 'new']];
        yield ['heartbeat', 30, true, false, ['fresh', 'new']];
        yield ['ttl', 30, true, true, ['fresh', 'undated', 'new']];
        yield ['ttl', 30, false, false, ['new']];
        yield ['ttl', 30, false, true, ['new']];
    }
}
