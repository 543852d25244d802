<?php

declare(strict_types=1);

/*
 * An application's console for tests that need a process: `php console.php ws:consume ..`. SNOKE_WS holds the
 * configuration as JSON. The listener appends "begin <event id>" and "end <event id>" to the file HANDLED; a message
 * of type "sleep" takes as many seconds as it says, "die" kills the process.
 */

use Snoke\WsBundle\Event\WebsocketEvent;
use Snoke\WsBundle\Event\WebsocketMessageReceivedEvent;
use Snoke\WsBundle\Tests\App\Kernel;
use Snoke\WsBundle\Tests\App\Listener;
use Symfony\Bundle\FrameworkBundle\Console\Application;

require \dirname(__DIR__, 3) . '/autoload.php';

$kernel = new Kernel(json_decode((string) getenv('SNOKE_WS'), true), 'test');
$kernel->boot();
register_shutdown_function(static function () use ($kernel): void {
    (new \Symfony\Component\Filesystem\Filesystem())->remove(\dirname($kernel->directory()));
});
$note = static function (string $line): void {
    file_put_contents((string) getenv('HANDLED'), "$line\n", \FILE_APPEND | \LOCK_EX);
};
$kernel->getContainer()->get(Listener::class)->first = static function (WebsocketEvent $event) use ($note): void {
    $note('begin ' . $event->getEventId());
    $message = $event instanceof WebsocketMessageReceivedEvent ? $event->getMessage() : [];
    if ('sleep' === ($message['type'] ?? '')) {
        $until = microtime(true) + $message['payload'];
        // usleep() ends early when a signal comes.
        while (microtime(true) < $until) {
            usleep(10_000);
        }
    }
    if ('die' === ($message['type'] ?? '')) {
        posix_kill((int) getmypid(), \SIGKILL);
    }
    $note('end ' . $event->getEventId());
};
(new Application($kernel))->run();
