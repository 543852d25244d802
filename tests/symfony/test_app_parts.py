"""The listeners of the Symfony application one by one, for what is hard to bring about from outside."""

import json
import os
import subprocess
import unittest
from typing import Any

from tests.symfony.application import SYMFONY, missing

MISSING = missing()
if MISSING is not None and os.environ.get("CI") != "true":
    raise unittest.SkipTest(MISSING)

# A publisher that keeps what it is given, or refuses with a status; a presence that answers with one list
# after the other, and stays with the last one.
PROLOGUE = f"""
require '{SYMFONY}/autoload.php';
use App\\Demo\\OnlineUsers;
use Snoke\\WsBundle\\Contract\\PresenceProviderInterface;
use Snoke\\WsBundle\\Contract\\PublisherInterface;
use Snoke\\WsBundle\\Event as Events;
use Snoke\\WsBundle\\Exception\\GatewayClientError;
use Snoke\\WsBundle\\Exception\\PresenceFailed;
use Snoke\\WsBundle\\Service\\SimpleSubjectKeyResolver;
use Snoke\\WsBundle\\Service\\WebsocketPublisher;
use Symfony\\Component\\HttpClient\\MockHttpClient;
use Symfony\\Component\\HttpClient\\Response\\MockResponse;
$given = json_decode(getenv('GIVEN'), true);
$sink = new class ($given['refusal'] ?? 0) implements PublisherInterface {{
    public array $sent = [];
    public function __construct(private int $refusal) {{}}
    public function publish(array $subjects, mixed $payload): void {{
        if ($this->refusal) {{
            $http = new MockHttpClient(new MockResponse('', ['http_code' => $this->refusal]));
            throw new GatewayClientError($http->request('GET', 'http://x'), 'refused');
        }}
        $this->sent[] = [$subjects, $payload];
    }}
}};
$presence = new class ($given['lists']) implements PresenceProviderInterface {{
    public function __construct(private array $lists) {{}}
    public function listConnections(?string $subjectKey = null, ?string $userId = null): array {{
        $list = count($this->lists) > 1 ? array_shift($this->lists) : $this->lists[0];
        if (null === $list) {{ throw new PresenceFailed('away'); }}
        $entry = fn ($id, $user) => ['connection_id' => $id, 'user_id' => $user];
        return ['connections' => array_map($entry, array_keys($list), $list)];
    }}
    public function listConnectionsForUser(string $userId): array {{ return []; }}
}};
$logger = new class extends Psr\\Log\\AbstractLogger {{
    public array $lines = [];
    public function log($level, $message, array $context = []): void {{ $this->lines[] = "$level $message"; }}
}};
$publisher = new WebsocketPublisher($sink, new SimpleSubjectKeyResolver());
$online = new OnlineUsers($presence);
$details = fn (float $age) => new Events\\EventDetails(occurredAtMs: (int) ((microtime(true) - $age) * 1000));
$came = fn (string $id, string $user, float $age = 0) => new Events\\WebsocketConnectionEstablishedEvent(
    $id, $user, [], 0, $details($age)
);
$went = fn (string $id, string $user, float $age = 0) => new Events\\WebsocketConnectionClosedEvent(
    $id, $user, [], 0, details: $details($age)
);
$said = fn (string $user, mixed $message) => new Events\\WebsocketMessageReceivedEvent(
    'c', $user, [], 0, $message, ''
);
$chat = new App\\EventListener\\ChatDemoListener($publisher, $online, $logger);
$tell = new App\\EventListener\\PresenceDemoListener($publisher, $online, $logger);
$thrown = '';
try {{
"""
EPILOGUE = """
} catch (Throwable $error) { $thrown = get_class($error); }
echo json_encode([
    'sent' => $sink->sent, 'log' => $logger->lines, 'thrown' => $thrown, 'value' => $value ?? null,
]);
"""


def setUpModule() -> None:
    assert MISSING is None, MISSING


def _php(code: str, lists: list[Any], **given: Any) -> dict[str, Any]:
    """What was sent, logged and thrown, and `$value`."""
    done = subprocess.run(
        ["php", "-d", "display_errors=stderr", "-d", "error_reporting=-1", "-r", PROLOGUE + code + EPILOGUE],
        env={"PATH": os.environ["PATH"], "GIVEN": json.dumps({"lists": lists, **given})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


class ChatTests(unittest.TestCase):
    """Who hears what is said."""

    say = "$chat($said('ada', ['type' => 'chat', 'text' => 'hello']));"

    def test_an_id_is_a_user_whatever_it_looks_like(self) -> None:
        """Also one that begins like a channel; the sender is among them, once."""
        done = _php(self.say, [{"a": "channel:x", "b": "*", "c": "ada"}])
        self.assertEqual(sorted(done["sent"][0][0]), ["user:*", "user:ada", "user:channel:x"])
        self.assertIn("user:ada", _php(self.say, [{}])["sent"][0][0])

    def test_a_crowd_is_everybody(self) -> None:
        """More than a thousand subjects become one."""
        crowd = {f"c{number}": f"u{number}" for number in range(1000)}
        self.assertEqual(_php(self.say, [crowd])["sent"][0][0], ["*"])

    def test_without_presence_everybody_hears(self) -> None:
        """What was said does not depend on it."""
        done = _php(self.say, [None])
        self.assertEqual((done["sent"][0][0], done["thrown"]), (["*"], ""))
        self.assertIn("warning", done["log"][0])

    def test_what_is_refused_for_good_is_not_tried_again(self) -> None:
        """A refusal of the payload is logged; any other one has the event come again."""
        done = _php(self.say, [{}], refusal=413)
        self.assertEqual(done["thrown"], "")
        self.assertIn("error", done["log"][0])
        for status in (401, 429):
            self.assertIn("GatewayClientError", _php(self.say, [{}], refusal=status)["thrown"])


class PresenceTests(unittest.TestCase):
    """What is told of those who are online."""

    def users(self, done: dict[str, Any]) -> list[list[str]]:
        return [payload["users"] for _, payload in done["sent"]]

    def test_who_came_and_went_a_moment_ago(self) -> None:
        """The list is behind: the event itself and those before it correct it."""
        code = "$tell($came('a', 'ada')); $tell($came('b', 'bob')); $tell($went('a', 'ada'));"
        done = _php(code, [{}, {}, {}, {}, {"a": "ada"}])
        self.assertEqual(self.users(done), [["user:ada"], ["user:ada", "user:bob"], ["user:bob"]])

    def test_what_is_older_is_in_the_list(self) -> None:
        """A consumer that works off an hour's events does not bring anybody back."""
        code = "$tell($came('a', 'ada', 3600)); $tell($went('b', 'bob', 3600));"
        self.assertEqual(self.users(_php(code, [{"b": "bob"}])), [["user:bob"], ["user:bob"]])

    def test_a_message_brings_nobody_back(self) -> None:
        """It may be read after the end of its connection, which is in another stream."""
        code = "$tell($went('c', 'ada')); $value = $online->after($said('ada', []));"
        self.assertEqual(_php(code, [{}])["value"], [])

    def test_a_list_that_changed_is_told_again(self) -> None:
        """Until it stays the same, and not for ever."""
        code = "$tell($came('a', 'ada'));"
        done = _php(code, [{}, {"b": "bob"}, {"b": "bob"}])
        self.assertEqual(self.users(done), [["user:ada"], ["user:ada", "user:bob"]])
        self.assertEqual(len(_php(code, [{"b": str(number)} for number in range(20)])["sent"]), 5)

    def test_without_presence_nothing_is_told(self) -> None:
        """The event is not held up by it; the log says so."""
        done = _php("$tell($came('a', 'ada'));", [None])
        self.assertEqual((done["sent"], done["thrown"]), ([], ""))
        self.assertIn("warning", done["log"][0])
