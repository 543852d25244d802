"""What core mode promises, whatever the broker is: a mixin that `test_redis` and `test_rabbitmq` run."""

import os
import signal
import threading

from tests.core.case import CoreTestCase
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.tokens import fresh_user
from tests.integration.harness.waiting import until

__all__ = ["CoreSuite"]


class CoreSuite(CoreTestCase):
    """Nodes, clients and a backend around one broker."""

    # Inwards.

    def test_events(self) -> None:
        """Events go to the broker, with all fields of the contract, messages apart from the others."""
        daemon = self.node()
        user = fresh_user()
        with self.open(user, daemon=daemon) as client:
            client.send_text('{"type":"chat","payload":1.50}')
            client.ping_pong()
            client.close()
        [message] = self.wait_inbox(1)
        connected, disconnected = self.wait_events(2)
        self.assertEqual(
            [one["type"] for one in (connected, message, disconnected)],
            ["connected", "message_received", "disconnected"],
        )
        self.assertEqual([one["seq"] for one in (connected, message, disconnected)], [0, 1, 2])
        for one in (connected, message, disconnected):
            self.assertEqual(one["user_id"], user)
            self.assertEqual(one["subjects"], [f"user:{user}"])
            self.assertEqual(one["connection_id"], connected["connection_id"])
            self.assertEqual(one["node_id"], "node-1")
        self.assertEqual(message["raw"], '{"type":"chat","payload":1.50}')
        self.assertEqual(daemon.metric("broker_publish_total"), 3)

    def test_order(self) -> None:
        """Messages of a connection keep their order, also of several at once."""
        daemon = self.node(WS_RATE_LIMIT_PER_SEC="0")
        clients = [self.open(daemon=daemon) for _ in range(5)]
        for number in range(200):
            for client in clients:
                client.send_json({"type": "n", "n": number})
        messages = self.wait_inbox(1000)
        self.assert_accounted_for(messages, 5, 200)
        self.assertEqual(len(messages), 1000)

    def test_partitions(self) -> None:
        """With suffix, the messages of an ordering key have a place of their own."""
        daemon = self.node(ORDERING_STRATEGY="topic", ORDERING_PARTITION_MODE="suffix")
        with self.open(daemon=daemon) as client:
            client.send_json({"type": "x", "topic": "room:1"})
            client.send_json({"type": "x", "topic": "room 2/ü"})
            client.ping_pong()
        for partition, topic in (("room:1", "room:1"), ("room_2__", "room 2/ü")):
            [message] = until(
                lambda partition=partition, topic=topic: [
                    one for one in self.broker.inbox(partition) if one["message"]["topic"] == topic
                ],
                f"the partition {partition}",
                daemon.log,
            )
            self.assertEqual(message["ordering_key"], topic)
            self.assertEqual(message["ordering_strategy"], "topic")

    # Outwards.

    def test_publications(self) -> None:
        """Every node delivers every publication; order holds; numbers keep their digits."""
        nodes = [self.node("node-1"), self.node("node-2")]
        user = fresh_user()
        clients = [self.open(user, daemon=node) for node in nodes]
        self.broker.publish(*({"subjects": [f"user:{user}"], "payload": number} for number in range(50)))
        self.broker.publish(b'{"subjects":["*"],"payload":{"price":1.00},"unknown":{}}')
        for client in clients:
            got = [client.read_json()["payload"] for _ in range(50)]
            self.assertEqual(got, list(range(50)))
            self.assertEqual(client.read_frame().payload, b'{"type":"event","payload":{"price":1.00}}')

    def test_not_what_was_before(self) -> None:
        """A node that starts delivers nothing that was published before."""
        first = self.node("node-1")
        user = fresh_user()
        with self.open(user, daemon=first) as client:
            self.broker.publish({"subjects": ["*"], "payload": "before"})
            self.assertEqual(client.read_json()["payload"], "before")
        second = self.node("node-2")
        with self.open(user, daemon=second) as client:
            self.broker.publish({"subjects": ["*"], "payload": "after"})
            self.assertEqual(client.read_json()["payload"], "after")

    def test_bad_publications(self) -> None:
        """What nobody can use becomes a dead letter, once for all nodes; the next one is delivered."""
        nodes = [self.node("node-1"), self.node("node-2")]
        clients = [self.open(daemon=node) for node in nodes]
        self.broker.publish(
            b"no json", {"subjects": "user:1", "payload": 1}, {"subjects": ["*"], "payload": "good"}
        )
        for client in clients:
            self.assertEqual(client.read_json()["payload"], "good")
        letters = until(
            lambda: found if len(found := self.broker.dead_letters()) >= 2 else [],
            "two dead letters",
            nodes[0].log,
        )
        self.assertEqual({raw for _, raw in letters}, {b"no json", b'{"subjects": "user:1", "payload": 1}'})
        words = {raw: reason.partition(":")[0] for reason, raw in letters}
        self.assertEqual(sorted(words.values()), ["invalid", "parse_error"])
        self.assertEqual(words[b"no json"], "parse_error")
        # Another one, so that whatever a second node did with the first two has happened.
        self.broker.publish(b"[]", {"subjects": ["*"], "payload": "again"})
        for client in clients:
            self.assertEqual(client.read_json()["payload"], "again")
        until(lambda: len(self.broker.dead_letters()) >= 3, "a third dead letter")
        self.assertEqual(len(self.broker.dead_letters()), 3)

    def test_publish_call_reaches_the_cluster(self) -> None:
        """A publish call at one node reaches the clients of the other; scope=node does not."""
        here, there = self.node("node-1"), self.node("node-2")
        user = fresh_user()
        near, far = self.open(user, daemon=here), self.open(user, daemon=there)
        document = {"subjects": [f"user:{user}"], "payload": 1}
        answer = here.call("POST", "/internal/publish", document)
        self.assertEqual((answer.status, answer.json()), (200, {"sent": 1, "relayed": True}))
        for client in (near, far):
            self.assertEqual(client.read_json()["payload"], 1)
        answer = here.call("POST", "/internal/publish?scope=node", {**document, "payload": 2})
        self.assertEqual(answer.json(), {"sent": 1})
        self.assertEqual(near.read_json()["payload"], 2)
        batch = {"publications": [{**document, "payload": 3}, {**document, "payload": 4}]}
        answer = there.call("POST", "/internal/publish/batch", batch)
        self.assertEqual(answer.json(), {"sent": [1, 1], "relayed": True})
        self.assertEqual([far.read_json()["payload"] for _ in range(2)], [3, 4])
        self.assertEqual([near.read_json()["payload"] for _ in range(2)], [3, 4])

    def test_disconnect_call_reaches_the_cluster(self) -> None:
        """A kick at one node reaches the connections of the other, with its code and reason."""
        here, there = self.node("node-1"), self.node("node-2")
        user = fresh_user()
        near, far = self.open(user, daemon=here), self.open(user, daemon=there)
        answer = here.call("POST", "/internal/disconnect", {"user_id": user, "code": 4001, "reason": "out"})
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.json()["relayed"])
        for client in (near, far):
            self.assertEqual(client.read_close(), (4001, "out"))
        other = self.open(daemon=there)
        [view] = there.connections()
        answer = here.call("DELETE", f"/internal/connections/{view['connection_id']}")
        self.assertEqual(answer.status, 202)
        self.assertEqual(other.read_close()[0], 4403)

    # Bad days.

    def test_broker_killed(self) -> None:
        """SIGKILL of the broker in the middle of everything: all events arrive in order, clients stay."""
        daemon = self.node(WS_RATE_LIMIT_PER_SEC="0")
        clients = [self.open(daemon=daemon) for _ in range(4)]
        rounds = 300
        half = threading.Event()

        def chat(client: RawClient) -> None:
            for number in range(rounds):
                client.send_json({"type": "n", "n": number})
                client.ping_pong()
                if number == rounds // 3:
                    half.set()

        threads = [threading.Thread(target=chat, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        half.wait(60)
        self.broker.server.kill()
        self.wait_ready(daemon, "degraded")
        answer = daemon.call("POST", "/internal/publish", {"subjects": ["*"], "payload": 1})
        self.assertEqual(answer.status, 503, answer.body)
        self.assertIn("Retry-After", answer.headers)
        self.broker.server.start()
        for thread in threads:
            thread.join(60)
        self.wait_ready(daemon)
        messages = until(
            lambda: found if self.complete(found := self.broker.inbox(), 4, rounds) else [],
            "every message",
            daemon.log,
        )
        self.assert_accounted_for(messages, 4, rounds)
        self.broker.publish({"subjects": ["*"], "payload": "back"})
        for client in clients:
            self.assertEqual(client.read_json()["payload"], "back")

    def test_started_without_broker(self) -> None:
        """A node starts without its broker, is degraded, and loses nothing until it comes."""
        self.broker.server.kill()
        daemon = self.node(status="degraded", BROKER_TIMEOUT_SECONDS="1")
        client = self.open(daemon=daemon)
        client.send_json({"type": "early"})
        client.ping_pong()
        self.broker.server.start()
        [message] = self.wait_inbox(1)
        self.assertEqual(message["message"], {"type": "early"})
        self.wait_ready(daemon)
        self.broker.publish({"subjects": ["*"], "payload": "hello"})
        self.assertEqual(client.read_json()["payload"], "hello")

    def test_frozen_broker(self) -> None:
        """A broker that is connected but dead is found by the canary; it comes back, and nothing is lost."""
        seconds = os.environ.get("FREEZE_SECONDS", "6")
        daemon = self.node(RABBITMQ_HEARTBEAT_SECONDS="2", BROKER_TIMEOUT_SECONDS="1")
        client = self.open(daemon=daemon)
        self.broker.server.freeze()
        try:
            client.send_json({"type": "n", "n": 0})
            self.wait_ready(daemon, "degraded")
            client.send_json({"type": "n", "n": 1})
            client.ping_pong()
            threading.Event().wait(float(seconds))
        finally:
            self.broker.server.thaw()
        self.wait_ready(daemon)
        messages = until(
            lambda: found if self.complete(found := self.broker.inbox(), 1, 2) else [],
            "both messages",
            daemon.log,
        )
        self.assert_accounted_for(messages, 1, 2)
        self.assertGreater(daemon.metric("ws_broker_canary_seconds", broker=self.broker.name), 0)
        self.broker.publish({"subjects": ["*"], "payload": "back"})
        self.assertEqual(client.read_json()["payload"], "back")

    def test_stop_delivers(self) -> None:
        """A node that stops gives what it has to the broker first, `disconnected` last."""
        daemon = self.node(WS_RATE_LIMIT_PER_SEC="0")
        client = self.open(daemon=daemon)
        for number in range(100):
            client.send_json({"type": "n", "n": number})
        client.ping_pong()
        self.assertEqual(daemon.stop(), -signal.SIGTERM)
        self.assertEqual(client.read_close()[0], 1012)
        self.assert_accounted_for(self.broker.inbox(), 1, 100)
        self.assertEqual([one["type"] for one in self.broker.events()], ["connected", "disconnected"])
