<?php

declare(strict_types=1);

namespace Snoke\WsBundle\Tests\Brokers;

use Snoke\WsBundle\Exception\ConfigurationInvalid;
use Snoke\WsBundle\Exception\PublishFailed;
use Snoke\WsBundle\Exception\RedisRefused;
use Snoke\WsBundle\Exception\RedisUnavailable;
use Snoke\WsBundle\Publication;
use Snoke\WsBundle\Redis\RedisConnections;
use Snoke\WsBundle\Service\PresenceInterpreter;
use Snoke\WsBundle\Service\RedisPresenceProvider;
use Snoke\WsBundle\Service\RedisPresenceWriter;
use Snoke\WsBundle\Service\RedisStreamPublisher;

/**
 * Both libraries against a real Redis: they must not be told apart.
 */
final class RedisClientsTest extends RedisCase
{
    /**
     * @dataProvider libraries
     */
    public function testAnswersLookAlike(string $library): void
    {
        $redis = self::client($library, $this->dsn);
        self::assertNull($redis->call('GET', $this->own));
        self::assertSame(1, $redis->call('HSET', $this->own, 'a', 1));
        self::assertSame(['a', '1'], $redis->call('HGETALL', $this->own));
        self::assertSame([], $redis->call('HGETALL', "$this->own-none"));
        self::assertSame([], $redis->call('XRANGE', "$this->own-none", '-', '+'));
        $redis->call('XADD', "$this->own-s", '1-1', 'data', "\0\xff");
        self::assertSame([['1-1', ['data', "\0\xff"]]], $redis->call('XRANGE', "$this->own-s", '-', '+'));
        $redis->call('XGROUP', 'CREATE', "$this->own-s", 'g', '$');
        $read = ['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 1, 'STREAMS', "$this->own-s", '>'];
        self::assertEmpty($redis->call(...$read));
    }

    /**
     * @dataProvider libraries
     */
    public function testARefusalIsNoOutage(string $library): void
    {
        $redis = self::client($library, $this->dsn);
        $redis->call('SET', $this->own, 'x');
        try {
            $redis->call('XLEN', $this->own);
            self::fail('it was not refused');
        } catch (RedisRefused $refused) {
            self::assertStringStartsWith('WRONGTYPE', $refused->getMessage());
        }
        self::assertSame('x', $redis->call('GET', $this->own));
    }

    /**
     * @dataProvider libraries
     */
    public function testABrokenConnectionIsMadeAnew(string $library): void
    {
        $redis = self::client($library, $this->dsn);
        $id = $redis->call('CLIENT', 'ID');
        $this->redis->call('CLIENT', 'KILL', 'ID', $id);
        try {
            // The extension looks before it writes, and mends it at once.
            self::assertNull($redis->call('GET', $this->own));
            self::assertSame('phpredis', $library);
        } catch (RedisUnavailable $unavailable) {
            self::assertStringContainsString('redis://127.0.0.1:', $unavailable->getMessage());
        }
        self::assertNull($redis->call('GET', $this->own));
    }

    /**
     * @dataProvider libraries
     */
    public function testAServerThatIsAwayIsNamedWithoutThePassword(string $library): void
    {
        foreach (['redis://:canary@127.0.0.1:1', 'redis://u:canary@127.0.0.1:1/2', 'redis://nowhere.invalid'] as $dsn) {
            try {
                self::client($library, $dsn)->call('PING');
                self::fail('it was there');
            } catch (RedisUnavailable $unavailable) {
                self::assertStringNotContainsString('canary', $unavailable->getMessage());
            }
        }
    }

    /**
     * @dataProvider libraries
     */
    public function testUserPasswordAndDatabaseAreUsed(string $library): void
    {
        $this->redis->call('ACL', 'SETUSER', $this->own, 'on', '>p@ss/w', '~*', '+@all');
        try {
            $address = substr($this->dsn, \strlen('redis://'));
            $redis = self::client($library, "redis://$this->own:p%40ss%2Fw@$address/3");
            $redis->call('SET', "$this->own-db", 'three');
            self::assertSame($this->own, $redis->call('ACL', 'WHOAMI'));
            self::assertNull($this->redis->call('GET', "$this->own-db"));
            $redis->call('DEL', "$this->own-db");
            $this->expectException(RedisUnavailable::class);
            self::client($library, "redis://$this->own:canary@$address/3")->call('PING');
        } finally {
            $this->redis->call('ACL', 'DELUSER', $this->own);
        }
    }

    public function testOneAddressHasOneClientAndALibraryCanBeChosen(): void
    {
        $connections = new RedisConnections('predis');
        self::assertInstanceOf(\Snoke\WsBundle\Redis\PredisClient::class, $connections->to($this->dsn));
        self::assertSame($connections->to($this->dsn), $connections->to($this->dsn));
        self::assertInstanceOf(
            \Snoke\WsBundle\Redis\PhpRedisClient::class,
            (new RedisConnections())->to($this->dsn)
        );
        $this->expectException(ConfigurationInvalid::class);
        (new RedisConnections('credis'))->to($this->dsn);
    }

    /**
     * @dataProvider libraries
     */
    public function testPublicationsAreEntriesOfTheOutbox(string $library): void
    {
        $publisher = new RedisStreamPublisher(self::client($library, $this->dsn), $this->own);
        $publisher->publish(['user:42'], ['text' => 'Grüße/']);
        $publisher->publishAll([new Publication(['*'], 1, '00-a-b-01', ['c'])]);
        self::assertNull($publisher->disconnect(userId: '42', code: 4001));
        self::assertSame([
            ['data' => '{"subjects":["user:42"],"payload":{"text":"Grüße/"}}'],
            ['data' => '{"subjects":["*"],"payload":1,"traceparent":"00-a-b-01","except":["c"]}'],
            ['data' => '{"op":"disconnect","user_id":"42","code":4001}'],
        ], $this->entries($this->own));
    }

    /**
     * @dataProvider libraries
     */
    public function testAPublisherOutlivesItsConnection(string $library): void
    {
        $redis = self::client($library, $this->dsn);
        $publisher = new RedisStreamPublisher($redis, $this->own, 1000);
        $publisher->publish(['user:1'], 1);
        $this->redis->call('CLIENT', 'KILL', 'ID', $redis->call('CLIENT', 'ID'));
        $publisher->publish(['user:1'], 2);
        self::assertCount(2, $this->entries($this->own));
    }

    public function testAPublicationThatRedisRefusesIsAFailure(): void
    {
        $this->redis->call('SET', $this->own, 'no stream');
        $this->expectException(PublishFailed::class);
        (new RedisStreamPublisher($this->redis, $this->own))->publish(['user:1'], 1);
    }

    /**
     * @dataProvider libraries
     */
    public function testPresenceIsWrittenAndReadInOneShape(string $library): void
    {
        $redis = self::client($library, $this->dsn);
        $prefix = "$this->own*[p]:";
        $writer = new RedisPresenceWriter($redis, $prefix, 100);
        $presence = new RedisPresenceProvider($redis, $prefix, new PresenceInterpreter('ttl'));
        $writer->upsertConnection('c1', '42', ['user:42', 'channel:a'], 1_700_000_000);
        $writer->upsertConnection('c2', '7', ['user:7', 'channel:a'], 1_700_000_000);
        $writer->touchConnection('c1', '42', ['user:42', 'channel:a']);
        $writer->touchConnection('gone', '42', ['user:42']);

        $one = $presence->listConnectionsForUser('42')['connections'];
        self::assertCount(1, $one);
        self::assertSame(
            ['c1', '42', ['user:42', 'channel:a'], 1_700_000_000, null],
            [
                $one[0]['connection_id'], $one[0]['user_id'], $one[0]['subjects'], $one[0]['connected_at'],
                $one[0]['client_ip'],
            ]
        );
        self::assertIsInt($one[0]['last_seen_at']);
        self::assertSame(['c1', 'c2'], self::ids($presence->listConnections('channel:a')));
        self::assertSame(['c2'], self::ids($presence->listConnections('channel:a', '7')), 'both filters have to fit');
        self::assertSame([], self::ids($presence->listConnections('user:42', '7')));
        self::assertSame(['c1', 'c2'], self::ids($presence->listConnections()));
        foreach (['conn:c1', 'user:42', 'subject:channel:a'] as $key) {
            self::assertGreaterThan(0, $redis->call('TTL', $prefix . $key), $key);
        }

        $writer->removeConnection('c2', '7', ['user:7', 'channel:a']);
        self::assertSame(['c1'], self::ids($presence->listConnections('channel:a')));
    }

    public function testWhoIsGoneWithoutAWordIsTakenOut(): void
    {
        $writer = new RedisPresenceWriter($this->redis, "$this->own:");
        $writer->upsertConnection('c1', '42', ['user:42'], 1);
        $this->redis->call('DEL', "$this->own:conn:c1");
        self::assertSame(
            ['connections' => []],
            (new RedisPresenceProvider($this->redis, "$this->own:"))->listConnectionsForUser('42')
        );
        self::assertSame(0, $this->redis->call('SCARD', "$this->own:user:42"));
    }

    /**
     * @param array{connections: list<array<string, mixed>>} $listed
     *
     * @return list<string>
     */
    private static function ids(array $listed): array
    {
        $ids = array_column($listed['connections'], 'connection_id');
        sort($ids);

        return $ids;
    }
}
