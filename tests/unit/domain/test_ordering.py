"""The ordering key of a message (contract section 5)."""

from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.ordering import STRATEGIES, OrderingRule, ordering_rule

NO_TEXTS: tuple[Any, ...] = (None, "", " ", "\t\n\u00a0", 0, 7, True, 1.5, [], ["x"], {}, {"x": 1})
"""Values that fall through to the next source."""


class Case(SynchronousTestCase):
    strategy = "none"

    def key(
        self, message: Mapping[str, Any], subjects: tuple[str, ...] = ("user:42",), **more: str
    ) -> str | None:
        rule = ordering_rule(self.strategy, **more)
        assert rule is not None
        return rule(message, "42", subjects)


class NoneTests(SynchronousTestCase):
    def test_no_rule(self) -> None:
        """Without a strategy there is nothing to compute."""
        self.assertIsNone(ordering_rule("none"))

    def test_strategies(self) -> None:
        """The strategies that settings may name."""
        self.assertEqual(STRATEGIES, ("none", "topic", "subject"))
        rules: list[OrderingRule | None] = [ordering_rule(strategy) for strategy in STRATEGIES]
        self.assertEqual([rule is None for rule in rules], [True, False, False])


class TopicTests(Case):
    strategy = "topic"

    def test_field(self) -> None:
        """The message's own field comes first, exactly as it is."""
        message = {"topic": " room:1 ", "meta": {"topic": "m"}, "type": "t"}
        self.assertEqual(self.key(message), " room:1 ")

    def test_meta(self) -> None:
        """Then the same field in `meta`."""
        self.assertEqual(self.key({"meta": {"topic": "m"}, "type": "t"}), "m")
        for value in NO_TEXTS:
            self.assertEqual(
                self.key({"topic": value, "meta": {"topic": "m"}, "type": "t"}), "m", repr(value)
            )

    def test_type(self) -> None:
        """Then `type`."""
        self.assertEqual(self.key({"type": "t"}), "t")
        for value in NO_TEXTS:
            self.assertEqual(
                self.key({"topic": value, "meta": {"topic": value}, "type": "t"}), "t", repr(value)
            )
            self.assertEqual(self.key({"meta": value, "type": "t"}), "t", repr(value))

    def test_no_key(self) -> None:
        """Where no source is a text there is no key."""
        self.assertIsNone(self.key({}))
        for value in NO_TEXTS:
            self.assertIsNone(
                self.key({"topic": value, "meta": {"topic": value}, "type": value}), repr(value)
            )

    def test_other_field(self) -> None:
        """The field's name is a setting, at both places."""
        message = {"topic": "no", "room": "r", "meta": {"room": "m"}, "type": "t"}
        self.assertEqual(self.key(message, topic_field="room"), "r")
        del message["room"]
        self.assertEqual(self.key(message, topic_field="room"), "m")
        self.assertEqual(self.key({"topic": "no", "type": "t"}, topic_field="room"), "t")


class SubjectTests(Case):
    strategy = "subject"

    def test_subject(self) -> None:
        """The message's `subject` comes first."""
        self.assertEqual(self.key({"subject": "s", "subjects": ["l"]}), "s")

    def test_first_of_subjects(self) -> None:
        """Then the first of its `subjects`."""
        self.assertEqual(self.key({"subjects": ["l", "k"]}), "l")
        for value in NO_TEXTS:
            self.assertEqual(self.key({"subject": value, "subjects": ["l"]}), "l", repr(value))

    def test_user(self) -> None:
        """Then the user id, unless the setting says otherwise."""
        for value in NO_TEXTS:
            for subjects in (value, [value]):
                if subjects == ["x"]:
                    continue
                self.assertEqual(self.key({"subject": value, "subjects": subjects}), "42", repr(value))
                self.assertEqual(
                    self.key({"subject": value, "subjects": subjects}, subject_source="user"), "42"
                )
        # Only the first of the message's subjects is a source.
        self.assertEqual(self.key({"subjects": ["", "second"]}), "42")

    def test_sorted_subjects(self) -> None:
        """Or the connection's first subject in sorted order."""
        subjects = ("user:42", "channel:b", "channel:a")
        self.assertEqual(self.key({}, subjects, subject_source="subject"), "channel:a")
        self.assertEqual(self.key({"subject": "s"}, subjects, subject_source="subject"), "s")

    def test_no_key(self) -> None:
        """A connection without subjects, which does not occur, has no key."""
        self.assertIsNone(self.key({}, (), subject_source="subject"))
