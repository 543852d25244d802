"""Who is connected here."""

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ws_gateway.domain.registry import Registry
from ws_gateway.interfaces import IConnection, IConnectionDirectory, IConnectionObserver
from ws_gateway.testing.connections import FakeConnection


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.registry = Registry()

    def add(self, key: str, user: str = "1", *subjects: str) -> FakeConnection:
        connection = FakeConnection(key, user, (f"user:{user}", *subjects))
        self.registry.add(connection)
        return connection

    def ids(self, **wanted: str | int | None) -> list[str]:
        views, _ = self.registry.page(**wanted)  # type: ignore[arg-type]
        return [view.connection_id for view in views]


class RegistryTests(Case):
    def test_interface(self) -> None:
        """It is the directory."""
        verifyObject(IConnectionDirectory, self.registry)

    def test_members(self) -> None:
        """A connection is found under each of its subjects."""
        one, two = self.add("a", "1", "channel:x", "channel:y"), self.add("b", "2", "channel:x")
        self.assertEqual(self.registry.members("channel:x"), {"a": one, "b": two})
        self.assertEqual(self.registry.members("channel:y"), {"a": one})
        self.assertEqual(self.registry.members("user:2"), {"b": two})
        self.assertEqual(self.registry.members("*"), {"a": one, "b": two})
        self.assertEqual(self.registry.everyone(), [one, two])

    def test_unknown_subject(self) -> None:
        """A look-up of what nobody listens to finds nobody and leaves nothing."""
        self.assertEqual(self.registry.members("nobody"), {})
        self.assertEqual(self.registry.subject_count(), 0)

    def test_star_is_not_a_subscription(self) -> None:
        """A connection that somehow listens to `*` neither widens nor narrows it."""
        one, two = self.add("a", "1", "*"), self.add("b", "2")
        self.assertEqual(self.registry.members("*"), {"a": one, "b": two})

    def test_count(self) -> None:
        """Whom an order to disconnect would reach is counted, and nobody is closed."""
        connections = [self.add("a", "1"), self.add("b", "1"), self.add("c", "2")]
        for connection_id, user_id, expected in (
            ("a", None, 1),
            (None, "1", 2),
            ("a", "1", 1),
            ("a", "2", 0),
            ("z", None, 0),
            (None, "3", 0),
        ):
            self.assertEqual(self.registry.count(connection_id, user_id), expected)
        self.assertEqual([connection.ending for connection in connections], [None] * 3)

    def test_listening(self) -> None:
        """Whom a publication would reach is counted: each once, without those whom it leaves out."""
        self.add("a", "1", "channel:x", "channel:y")
        self.add("b", "2", "channel:x")
        for subjects, excluded, expected in (
            (["channel:x"], (), 2),
            (["channel:x"], ("a", "z"), 1),
            (["channel:x", "channel:y", "user:1"], (), 2),
            (["channel:y", "user:2"], ("b", "z"), 1),
            (["*"], (), 2),
            (["*", "channel:y"], ("a",), 1),
            (["nobody"], ("a",), 0),
            (["nobody", "neither"], (), 0),
        ):
            self.assertEqual(self.registry.listening(subjects, frozenset(excluded)), expected, subjects)

    def test_back_to_zero(self) -> None:
        """When all are gone, every count and index is as it was."""
        connections = [
            self.add(f"c{number}", str(number % 7), "channel:x", f"channel:{number}", "channel:x")
            for number in range(50)
        ]
        self.assertEqual(len(self.registry), 50)
        self.assertEqual(self.registry.count_of_user("0"), 8)
        self.assertEqual(self.registry.subject_count(), 7 + 1 + 50)
        for connection in connections[::2] + connections[1::2]:
            self.registry.remove(connection)
        self.assertEqual(len(self.registry), 0)
        self.assertEqual(self.registry.count_of_user("0"), 0)
        self.assertEqual(self.registry.subject_count(), 0)
        self.assertEqual(self.registry.members("*"), {})
        self.assertEqual(self.registry.everyone(), [])
        self.assertEqual(self.ids(), [])
        self.assertEqual(self.ids(user_id="0"), [])

    def test_remove_twice(self) -> None:
        """Removing what is not here any more does nothing."""
        one, other = self.add("a"), self.add("b")
        self.registry.remove(one)
        self.registry.remove(one)
        self.registry.remove(FakeConnection("never"))
        self.assertEqual(self.registry.everyone(), [other])
        self.assertEqual(self.registry.count_of_user("1"), 1)

    def test_remove_a_namesake(self) -> None:
        """Another object with the same id is not the one that is here."""
        one = self.add("a")
        self.registry.remove(FakeConnection("a"))
        self.assertEqual(self.registry.everyone(), [one])

    def test_everyone_is_a_copy(self) -> None:
        """Who walks over all may meanwhile take some out."""
        self.add("a")
        self.add("b")
        for connection in self.registry.everyone():
            self.registry.remove(connection)
        self.assertEqual(len(self.registry), 0)


class PageTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.all = [
            self.add(f"c{number}", str(number % 2), *(["channel:x"] if number % 3 == 0 else []))
            for number in range(10)
        ]

    def test_all(self) -> None:
        """Without limit all come, in the order in which they came."""
        views, cursor = self.registry.page()
        self.assertEqual([view.connection_id for view in views], [f"c{number}" for number in range(10)])
        self.assertEqual(views[3], self.all[3].view())
        self.assertIsNone(cursor)

    def test_filters(self) -> None:
        """Subject and user narrow, also together."""
        self.assertEqual(self.ids(subject="channel:x"), ["c0", "c3", "c6", "c9"])
        self.assertEqual(self.ids(user_id="1"), ["c1", "c3", "c5", "c7", "c9"])
        self.assertEqual(self.ids(subject="channel:x", user_id="1"), ["c3", "c9"])
        self.assertEqual(self.ids(subject="user:0", user_id="1"), [])
        self.assertEqual(self.ids(subject="nobody"), [])
        self.assertEqual(self.ids(user_id="nobody"), [])

    def walk(self, limit: int, **wanted: str) -> list[list[str]]:
        pages, cursor = [], None
        while True:
            views, cursor = self.registry.page(limit=limit, cursor=cursor, **wanted)
            pages.append([view.connection_id for view in views])
            if cursor is None:
                return pages

    def test_pages(self) -> None:
        """Pages follow each other without gap or repetition, and the last one has no cursor."""
        self.assertEqual(self.walk(4), [["c0", "c1", "c2", "c3"], ["c4", "c5", "c6", "c7"], ["c8", "c9"]])
        self.assertEqual(self.walk(5), [[f"c{n}" for n in range(5)], [f"c{n}" for n in range(5, 10)]])
        self.assertEqual(self.walk(10), [[f"c{n}" for n in range(10)]])
        self.assertEqual(self.walk(2, subject="channel:x"), [["c0", "c3"], ["c6", "c9"]])
        self.assertEqual(self.walk(3, user_id="1"), [["c1", "c3", "c5"], ["c7", "c9"]])
        self.assertEqual(self.walk(1, user_id="1", subject="channel:x"), [["c3"], ["c9"]])

    def test_rest_without_limit(self) -> None:
        """A cursor without a limit brings the rest."""
        _, cursor = self.registry.page(limit=7)
        self.assertEqual(self.ids(cursor=cursor), ["c7", "c8", "c9"])

    def test_changes_between_pages(self) -> None:
        """Who leaves or comes between two pages moves nobody: the rest is shown once."""
        _, cursor = self.registry.page(limit=4)
        for gone in (self.all[0], self.all[3], self.all[5]):
            self.registry.remove(gone)
        self.add("new")
        self.assertEqual(self.ids(cursor=cursor), ["c4", "c6", "c7", "c8", "c9", "new"])

    def test_past_the_end(self) -> None:
        """After the last connection comes an empty page."""
        self.assertEqual(self.registry.page(cursor="99999", limit=3), ([], None))

    def test_foreign_cursor(self) -> None:
        """A cursor that we did not give is refused."""
        for cursor in ("", "x", "-1", "1.0", " 1", "1 ", "²", "\u0661", "9" * 21, "0x1"):
            with self.assertRaises(ValueError):
                self.registry.page(cursor=cursor)


class DisconnectTests(Case):
    def test_by_id(self) -> None:
        """One connection is told, with code and reason."""
        one, other = self.add("a"), self.add("b")
        self.assertEqual(self.registry.disconnect(4403, "bye", connection_id="a"), 1)
        assert one.ending is not None
        self.assertEqual((one.ending.code, one.ending.reason), (4403, "bye"))
        self.assertIsNone(other.ending)

    def test_by_user(self) -> None:
        """All connections of a user are told, those of others are not."""
        mine, other = [self.add("a"), self.add("b")], self.add("c", "2")
        self.assertEqual(self.registry.disconnect(4000, "", user_id="1"), 2)
        self.assertTrue(all(one.ending is not None for one in mine))
        self.assertIsNone(other.ending)

    def test_both(self) -> None:
        """With both filters the connection must be the user's."""
        one = self.add("a", "1")
        self.assertEqual(self.registry.disconnect(4000, "", connection_id="a", user_id="2"), 0)
        self.assertIsNone(one.ending)
        self.assertEqual(self.registry.disconnect(4000, "", connection_id="a", user_id="1"), 1)

    def test_nobody(self) -> None:
        """Unknown ids, and no filter at all, disconnect nobody."""
        one = self.add("a")
        self.assertEqual(self.registry.disconnect(4000, "", connection_id="x"), 0)
        self.assertEqual(self.registry.disconnect(4000, "", user_id="x"), 0)
        self.assertEqual(self.registry.disconnect(4000, ""), 0)
        self.assertIsNone(one.ending)

    def test_leaving_while_told(self) -> None:
        """A connection that leaves the registry as it is told does not upset the walk."""
        registry = self.registry

        class Hasty(FakeConnection):
            def kick(self, code: int, reason: str) -> None:
                registry.remove(self)

        for key in ("a", "b", "c"):
            registry.add(Hasty(key, "1"))
        self.assertEqual(registry.disconnect(4000, "", user_id="1"), 3)
        self.assertEqual(len(registry), 0)


@implementer(IConnectionObserver)
class Diary:
    """Notes who comes and goes, and whether the registry knows them at that moment."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.notes: list[tuple[str, str, bool]] = []

    def came(self, connection: IConnection) -> None:
        self._note("came", connection)

    def went(self, connection: IConnection) -> None:
        self._note("went", connection)

    def _note(self, what: str, connection: IConnection) -> None:
        key = connection.connection_id
        self.notes.append((what, key, self.registry.find(key) is connection))


class ObserverTests(Case):
    def test_comes_and_goes(self) -> None:
        """An observer hears of each coming and each going once, when it is so."""
        diary = Diary(self.registry)
        verifyObject(IConnectionObserver, diary)
        self.registry.observe(diary)
        one = self.add("a")
        self.add("b")
        self.registry.remove(one)
        self.registry.remove(one)
        self.registry.remove(FakeConnection("b"))
        self.assertEqual(diary.notes, [("came", "a", True), ("came", "b", True), ("went", "a", False)])
        self.assertEqual(self.registry.ids(), ["b"])
