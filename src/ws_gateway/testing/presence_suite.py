"""What every presence store has to prove: `ws_gateway.testing.presence` has the one in memory.

class RedisPresenceTests(presence_store_contract_tests(make_redis)):
    "The store in Redis."

The module is long because it is one suite: all of it holds for every store.
"""

# mypy: allow-untyped-calls
# (the assertions of twisted.trial have no types)

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from ws_gateway.domain.lost import LostConnection
from ws_gateway.domain.messages import ConnectionView
from ws_gateway.interfaces import IPresenceStore

__all__ = ["PresenceUnderTest", "presence_store_contract_tests", "seen"]

LONG = 600.0
"""Seconds that no test lasts."""

SHORT = 0.2
"""Seconds that a test lets pass."""

NOW = 1_700_000_000_000
"""When something is claimed."""

ODD = (
    "channel:a*b",
    "channel:a?b[c]",
    "channel:{tag}",
    'channel:"quoted" \\ and blank',
    "channel:\u00fc\u6f22\U0001f600",
    "channel:%2F/..",
    "conn:c-1",
    "subject:channel:x",
    "-1",
    "x" * 512,
)
"""Subjects that are allowed, and that a key or a pattern could stumble over."""


class PresenceUnderTest(Protocol):
    """The stores of three nodes that share one empty place."""

    @property
    def here(self) -> IPresenceStore:
        """The store as a node has it."""

    @property
    def there(self) -> IPresenceStore:
        """The store as another node has it."""

    @property
    def elsewhere(self) -> IPresenceStore:
        """The store as a third node has it."""

    def pass_time(self, seconds: float) -> Deferred[None]:
        """Fires when so much time has passed for the place, or more."""

    def remembered(self, kind: str, name: str) -> Deferred[set[str]]:
        """The ids that the place itself holds for a user or a subject, be they dead or alive.

        :param kind: `user` or `subject`.
        """

    def tear_down(self) -> Deferred[None]:
        """Give back what is held."""


def seen(number: int, user_id: str = "42", *subjects: str) -> ConnectionView:
    """A connection that differs from those with other numbers."""
    return ConnectionView(
        connection_id=f"{number:08x}-0000-4000-8000-000000000000",
        user_id=user_id,
        subjects=(f"user:{user_id}", *subjects),
        connected_at=1_700_000_000 + number,
        last_seen_at=1_700_100_000 + number,
        client_ip=f"192.0.2.{number % 250}" if number % 2 else None,
    )


def _ids(views: Sequence[ConnectionView]) -> set[str]:
    return {view.connection_id for view in views}


def _lost(view: ConnectionView, node_id: str = "there", lost_at_ms: int = NOW) -> LostConnection:
    return LostConnection(
        view.connection_id,
        view.user_id,
        view.subjects,
        view.connected_at,
        view.client_ip,
        node_id,
        lost_at_ms,
    )


async def _claim_all(
    store: IPresenceStore, at_ms: int = NOW, again: bool = False, most: int = 1_000
) -> dict[str, LostConnection]:
    """Claim until nothing is left."""
    claimed: dict[str, LostConnection] = {}
    for _ in range(1_000):
        claim = await store.claim(most, at_ms, again)
        assert len(claim.lost) <= claim.looked_at <= most, "more than it said, or was asked for"
        assert not claim.unreadable, "nothing strange is here"
        assert not claimed.keys() & {one.connection_id for one in claim.lost}, "claimed twice"
        claimed.update((one.connection_id, one) for one in claim.lost)
        if not claim.looked_at or again:
            return claimed
    raise AssertionError("the claiming does not end")


async def _pages(
    store: IPresenceStore,
    subject: str | None = None,
    user_id: str | None = None,
    limit: int = 100,
    between: Callable[[int], Deferred[None]] | None = None,
) -> list[list[ConnectionView]]:
    """Walk over all pages.

    :param between: called with the number of the page that was read before the next one is asked for.
    """
    pages: list[list[ConnectionView]] = []
    cursor: str | None = None
    while True:
        views, cursor = await store.page(subject, user_id, cursor, limit)
        pages.append(views)
        if cursor is None:
            return pages
        assert isinstance(cursor, str), "a cursor is text"
        assert len(pages) < 10_000, "the walk does not end"
        if between is not None:
            await between(len(pages))


async def _all(
    store: IPresenceStore, subject: str | None = None, user_id: str | None = None
) -> dict[str, ConnectionView]:
    pages = await _pages(store, subject, user_id)
    return {view.connection_id: view for page in pages for view in page}


def presence_store_contract_tests(
    make: Callable[[TestCase], Deferred[PresenceUnderTest]],
) -> type[TestCase]:
    """The suite. Subclass what it returns.

    :param make: gives two stores that share an empty place.
    """

    class PresenceContract(TestCase):
        """The promises of IPresenceStore."""

        async def _two(self, lease: float = LONG) -> PresenceUnderTest:
            """Both nodes with a lease, the other one with a given one."""
            both = await make(self)
            self.addCleanup(both.tear_down)
            await both.here.renew(LONG)
            await both.there.renew(lease)
            return both

        async def test_interface(self) -> None:
            """It has all calls."""
            both = await self._two()
            self.assertTrue(verifyObject(IPresenceStore, both.here))

        async def test_nobody(self) -> None:
            """An empty place has one empty page, whatever is asked for, and nothing to sweep."""
            both = await self._two()
            for subject, user_id in ((None, None), ("channel:x", None), (None, "42"), ("channel:x", "42")):
                self.assertEqual(await _all(both.here, subject, user_id), {})
            self.assertEqual(await both.here.sweep(), 0)
            await both.here.put([], LONG)
            await both.here.remove([])
            self.assertEqual(await _all(both.here), {})

        async def test_round_trip(self) -> None:
            """Every node sees a connection just as it was: integers are integers, no address is None."""
            both = await self._two()
            views = [seen(1, "42", "channel:b", "channel:a"), seen(2, "7")]
            await both.here.put(views, LONG)
            expected = {view.connection_id: view for view in views}
            for store in (both.here, both.there):
                found = await _all(store)
                self.assertEqual(found, expected)
                for view in found.values():
                    self.assertIs(type(view.connected_at), int)
                    self.assertIs(type(view.last_seen_at), int)
                    self.assertIs(type(view.subjects), tuple)

        async def test_filters(self) -> None:
            """By subject, by user, by both; what fits no filter is not shown."""
            both = await self._two()
            one, two, three = seen(1, "42", "channel:news"), seen(2, "42"), seen(3, "7", "channel:news")
            await both.here.put([one, two], LONG)
            await both.there.put([three], LONG)
            for subject, user_id, expected in (
                (None, None, [one, two, three]),
                ("channel:news", None, [one, three]),
                ("user:42", None, [one, two]),
                (None, "42", [one, two]),
                (None, "7", [three]),
                ("channel:news", "42", [one]),
                ("user:7", "42", []),
                ("channel:new", None, []),
                (None, "4", []),
                (None, "user:42", []),
                ("42", None, []),
            ):
                found = await _all(both.here, subject, user_id)
                self.assertEqual((subject, user_id, set(found)), (subject, user_id, _ids(expected)))

        async def test_odd_names(self) -> None:
            """Subjects and users of any characters are themselves and nothing else."""
            both = await self._two()
            views = [seen(number, name, name) for number, name in enumerate(ODD, 1)]
            await both.here.put(views, LONG)
            self.assertEqual(await _all(both.here), {view.connection_id: view for view in views})
            for view in views:
                for subject, user_id in ((view.user_id, None), (None, view.user_id)):
                    found = await _all(both.here, subject, user_id)
                    self.assertEqual(found, {view.connection_id: view})
            await both.here.remove(views)
            self.assertEqual(await _all(both.here), {})
            for name in ODD:
                self.assertEqual(await both.remembered("subject", name), set())

        async def test_many_subjects(self) -> None:
            """A connection with a hundred subjects is found by each of them."""
            both = await self._two()
            names = [f"channel:{number}" for number in range(99)]
            view = seen(1, "42", *names)
            await both.here.put([view], LONG)
            for name in names:
                self.assertEqual(await _all(both.here, name), {view.connection_id: view})

        async def test_again(self) -> None:
            """Putting again changes nothing but what has changed."""
            both = await self._two()
            view = seen(1)
            later = evolve(view, last_seen_at=view.last_seen_at + 25)
            await both.here.put([view, view], LONG)
            await both.here.put([later], LONG)
            self.assertEqual(await _all(both.here), {view.connection_id: later})
            self.assertEqual(await both.remembered("user", "42"), {view.connection_id})

        async def test_remove(self) -> None:
            """What is removed is gone from everywhere and takes nobody along; removing again is no error."""
            both = await self._two()
            one, two = seen(1, "42", "channel:x"), seen(2, "42", "channel:x")
            await both.here.put([one, two], LONG)
            for _ in range(2):
                await both.here.remove([one])
            for subject, user_id in ((None, None), ("channel:x", None), (None, "42"), ("channel:x", "42")):
                self.assertEqual(await _all(both.there, subject, user_id), {two.connection_id: two})
            self.assertEqual(await both.remembered("user", "42"), {two.connection_id})
            self.assertEqual(await both.remembered("subject", "channel:x"), {two.connection_id})

        async def test_forgotten(self) -> None:
            """Without a refresh a connection is forgotten, and nothing is left of it."""
            both = await self._two()
            await both.here.put([seen(1, "42", "channel:x")], SHORT)
            await both.pass_time(SHORT * 2)
            self.assertEqual(await both.remembered("user", "42"), set())
            self.assertEqual(await both.remembered("subject", "channel:x"), set())
            for subject, user_id in ((None, None), ("channel:x", None), (None, "42")):
                self.assertEqual(await _all(both.here, subject, user_id), {})

        async def test_refreshed(self) -> None:
            """The last refresh says how long a connection is remembered, be that longer or shorter."""
            both = await self._two()
            one, two = seen(1, "42", "channel:x"), seen(2, "7", "channel:y")
            await both.here.put([one], SHORT)
            await both.here.put([one, two], LONG)
            await both.here.put([two], SHORT)
            await both.pass_time(SHORT * 2)
            self.assertEqual(await _all(both.here), {one.connection_id: one})
            self.assertEqual(await _all(both.here, "channel:x"), {one.connection_id: one})
            self.assertEqual(await _all(both.here, "channel:y"), {})

        async def test_takes_nobody_along(self) -> None:
            """One that is forgotten early takes nobody of its subject or user with it."""
            both = await self._two()
            long, short = seen(1, "42", "channel:x"), seen(2, "42", "channel:x")
            await both.here.put([long], LONG)
            await both.there.put([short], SHORT)
            await both.pass_time(SHORT * 2)
            for subject, user_id in ((None, None), ("channel:x", None), (None, "42"), ("user:42", "42")):
                self.assertEqual(await _all(both.here, subject, user_id), {long.connection_id: long})

        async def test_dead_ids(self) -> None:
            """An id whose connection is forgotten is taken out of the sets by whoever reads them."""
            both = await self._two()
            long, short = seen(1, "42", "channel:x"), seen(2, "42", "channel:x")
            await both.here.put([short], SHORT)
            await both.here.put([long], LONG)
            await both.pass_time(SHORT * 2)
            await _pages(both.here, subject="channel:x")
            await _pages(both.here, user_id="42")
            self.assertEqual(await both.remembered("subject", "channel:x"), {long.connection_id})
            self.assertEqual(await both.remembered("user", "42"), {long.connection_id})

        async def test_pages(self) -> None:
            """Many connections come in many pages, each about as long as was asked for."""
            both = await self._two()
            views = [seen(number, str(number % 3), "channel:all") for number in range(1_000)]
            for start in range(0, len(views), 200):
                await both.here.put(views[start : start + 200], LONG)
            for subject, user_id, expected in (
                (None, None, views),
                ("channel:all", None, views),
                (None, "1", views[1::3]),
                ("channel:all", "2", views[2::3]),
            ):
                pages = await _pages(both.there, subject, user_id, limit=50)
                found = {view.connection_id: view for page in pages for view in page}
                self.assertEqual(found, {view.connection_id: view for view in expected})
                self.assertLess(max(len(page) for page in pages), 250)
                self.assertGreater(len(pages), 1)

        async def test_small_pages(self) -> None:
            """Pages of one get to the end, too."""
            both = await self._two()
            views = [seen(number, "42") for number in range(20)]
            await both.here.put(views, LONG)
            for user_id in (None, "42"):
                pages = await _pages(both.here, user_id=user_id, limit=1)
                self.assertEqual(_ids([view for page in pages for view in page]), _ids(views))

        async def test_changes_between_pages(self) -> None:
            """Whoever is there the whole time is shown, however many come and go meanwhile; whoever had gone
            before is not."""
            both = await self._two()
            staying = [seen(number, "42", "channel:x") for number in range(400)]
            going = [seen(number, "42", "channel:x") for number in range(1_000, 1_400)]
            gone = [seen(number, "42", "channel:x") for number in range(3_000, 3_010)]
            for subject, user_id in ((None, None), ("channel:x", None), (None, "42")):
                await both.here.put([*staying, *going, *gone], LONG)
                await both.here.remove(gone)
                coming: list[ConnectionView] = []

                async def change(number: int, coming: list[ConnectionView] = coming) -> None:
                    if number > 20:  # or a walk over ever new ones would never end
                        return
                    some = [seen(2_000 + 40 * number + more, "42", "channel:x") for more in range(40)]
                    coming.extend(some)
                    await both.there.put(some, LONG)
                    await both.there.remove(going[number * 20 - 20 : number * 20])

                pages = await _pages(
                    both.here,
                    subject,
                    user_id,
                    limit=40,
                    between=lambda number, change=change: Deferred.fromCoroutine(change(number)),  # type: ignore[misc]
                )
                shown = _ids([view for page in pages for view in page])
                self.assertEqual(_ids(staying) - shown, set())
                self.assertEqual(shown - _ids([*staying, *going, *coming]), set())
                await both.there.remove(coming)

        async def test_foreign_cursor(self) -> None:
            """A cursor that is none of ours is a ValueError."""
            both = await self._two()
            await both.here.put([seen(1)], LONG)
            for cursor in ("nonsense", "1 2", "\u0663", "-1", "9" * 400):
                for subject, user_id in ((None, None), ("user:42", None), (None, "42")):
                    with self.assertRaises(ValueError, msg=cursor):
                        await both.here.page(subject, user_id, cursor, 10)

        async def test_no_lease(self) -> None:
            """Without a lease a node has no connections; with one they are there."""
            both = await make(self)
            self.addCleanup(both.tear_down)
            one, two = seen(1, "42", "channel:x"), seen(2, "42", "channel:x")
            await both.here.renew(LONG)
            await both.here.put([one], LONG)
            await both.there.put([two], LONG)
            self.assertEqual(await _all(both.here), {one.connection_id: one})
            await both.there.renew(LONG)
            await both.there.put([two], LONG)
            self.assertEqual(set(await _all(both.here)), _ids([one, two]))

        async def test_lease_over(self) -> None:
            """When the lease of a node is over its connections count as gone, however long they were to be
            remembered, and those of others do not."""
            both = await self._two(lease=SHORT)
            one, two = seen(1, "42", "channel:x"), seen(2, "42", "channel:x")
            await both.here.put([one], LONG)
            await both.there.put([two], LONG)
            await both.pass_time(SHORT * 2)
            for subject, user_id in ((None, None), ("channel:x", None), (None, "42"), ("channel:x", "42")):
                for store in (both.here, both.there):
                    self.assertEqual(await _all(store, subject, user_id), {one.connection_id: one})

        async def test_lease_held(self) -> None:
            """Whoever renews a lease hears whether it was held until then."""
            both = await make(self)
            self.addCleanup(both.tear_down)
            self.assertIs(await both.here.renew(LONG), False)
            self.assertIs(await both.here.renew(SHORT), True)
            await both.pass_time(SHORT * 2)
            self.assertIs(await both.here.renew(LONG), False)

        async def test_lease_given_up(self) -> None:
            """A lease that is given up is over at once."""
            both = await self._two()
            await both.there.put([seen(1, "42", "channel:x")], LONG)
            self.assertIs(await both.there.renew(0), True)
            for subject, user_id in ((None, None), ("channel:x", None), (None, "42")):
                self.assertEqual(await _all(both.here, subject, user_id), {})
            self.assertEqual(await both.here.sweep(), 1)
            self.assertEqual(await both.remembered("user", "42"), set())
            self.assertIs(await both.there.renew(LONG), False)

        async def test_lease_renewed(self) -> None:
            """A lease that is renewed in time goes on."""
            both = await self._two(lease=SHORT)
            view = seen(1)
            await both.there.renew(LONG)
            await both.there.put([view], LONG)
            await both.pass_time(SHORT * 2)
            self.assertEqual(await _all(both.here), {view.connection_id: view})
            self.assertEqual(await both.here.sweep(), 0)

        async def test_swept(self) -> None:
            """What a dead node has left is swept away bit by bit, out of the sets as well; then there is
            nothing to do any more."""
            both = await self._two(lease=SHORT)
            own = [seen(number, "42", "channel:x") for number in range(10)]
            lost = [seen(number, "42", "channel:x") for number in range(100, 400)]
            await both.here.put(own, LONG)
            await both.there.put(lost, LONG)
            await both.pass_time(SHORT * 2)
            swept, rounds = 0, 0
            while (some := await both.here.sweep()) > 0:
                swept, rounds = swept + some, rounds + 1
                self.assertLess(rounds, 1_000, "the sweeping does not end")
            self.assertEqual(swept, len(lost))
            self.assertEqual(await both.remembered("subject", "channel:x"), _ids(own))
            self.assertEqual(await both.remembered("user", "42"), _ids(own))
            self.assertEqual(set(await _all(both.here)), _ids(own))
            self.assertEqual(await both.here.sweep(), 0)

        async def test_back_again(self) -> None:
            """A node that was taken for dead, swept or not, is back with its lease and its connections."""
            for sweeping in (False, True):
                both = await self._two(lease=SHORT)
                view = seen(1, "42", "channel:x")
                await both.there.put([view], LONG)
                await both.pass_time(SHORT * 2)
                self.assertEqual(await _all(both.here), {})
                while sweeping and await both.here.sweep():
                    pass
                await both.there.renew(LONG)
                await both.there.put([view], LONG)
                for subject, user_id in ((None, None), ("channel:x", None), (None, "42")):
                    self.assertEqual(await _all(both.here, subject, user_id), {view.connection_id: view})
                self.assertEqual(await both.here.sweep(), 0)

        async def _lost(self, *views: ConnectionView, ttl: float = LONG) -> PresenceUnderTest:
            """Three nodes, of which `there` died with these connections."""
            all_three = await self._two()
            await all_three.elsewhere.renew(LONG)
            await all_three.there.put(views, ttl)
            await all_three.there.renew(0)
            return all_three

        async def test_claimed(self) -> None:
            """What is claimed is all that is known of a connection, is gone for everybody else, and counts
            as connected nowhere."""
            views = [seen(1, "42", "channel:x"), seen(2, "7", "channel:x"), *map(_odd, range(len(ODD)))]
            nodes = await self._lost(*views)
            own = seen(3, "42", "channel:x")
            await nodes.here.put([own], LONG)
            claimed = await _claim_all(nodes.here)
            self.assertEqual(claimed, {view.connection_id: _lost(view) for view in views})
            self.assertEqual(await _claim_all(nodes.elsewhere), {})
            self.assertEqual(await nodes.elsewhere.sweep(), 0)
            self.assertEqual(await nodes.here.sweep(), 0)
            self.assertEqual(await nodes.remembered("subject", "channel:x"), {own.connection_id})
            self.assertEqual(await nodes.remembered("user", "42"), {own.connection_id})
            self.assertEqual(set(await _all(nodes.here)), {own.connection_id})

        async def test_claimed_again(self) -> None:
            """Whoever claimed can have it again, as it was, until it is settled."""
            one, two = seen(1), seen(2)
            nodes = await self._lost(one, two)
            await _claim_all(nodes.here)
            both = {view.connection_id: _lost(view) for view in (one, two)}
            self.assertEqual(await _claim_all(nodes.here, NOW + 5, again=True), both)
            await nodes.here.settle([one.connection_id, "nobody"])
            for _ in range(2):
                await nodes.here.settle([one.connection_id])
                again = await _claim_all(nodes.here, NOW + 9, again=True)
                self.assertEqual(again, {two.connection_id: _lost(two)})
            await nodes.here.settle([two.connection_id])
            await nodes.here.settle([])
            self.assertEqual(await _claim_all(nodes.here, again=True), {})

        async def test_claimant_dies(self) -> None:
            """What a dead node owed is claimed by another one, with the time of the first claim; so is what
            it had not claimed yet."""
            views = [seen(number) for number in range(10)]
            nodes = await self._lost(*views)
            first = await nodes.here.claim(4, NOW, False)
            self.assertEqual(len(first.lost), 4)
            settled = first.lost[0].connection_id
            await nodes.here.settle([settled])
            await nodes.here.put([seen(50)], LONG)
            await nodes.here.renew(0)
            claimed = await _claim_all(nodes.elsewhere, NOW + 20_000)
            expected = {view.connection_id: _lost(view, lost_at_ms=NOW + 20_000) for view in views}
            expected |= {one.connection_id: one for one in first.lost}
            del expected[settled]
            mine = seen(50)
            expected[mine.connection_id] = _lost(mine, "here", NOW + 20_000)
            self.assertEqual(claimed, expected)
            self.assertEqual(await _claim_all(nodes.here), {})

        async def test_claimed_bit_by_bit(self) -> None:
            """Two that claim side by side get each connection once, and no more at a time than they asked
            for."""
            views = [seen(number, str(number % 7), "channel:x") for number in range(300)]
            nodes = await self._lost(*views)
            claimed: list[str] = []
            for _ in range(1_000):
                for store in (nodes.here, nodes.elsewhere):
                    claim = await store.claim(7, NOW, False)
                    self.assertLessEqual(len(claim.lost), 7)
                    claimed.extend(one.connection_id for one in claim.lost)
                if not claim.looked_at:
                    break
            self.assertEqual(len(claimed), 300)
            self.assertEqual(set(claimed), _ids(views))
            self.assertEqual(await nodes.remembered("subject", "channel:x"), set())

        async def test_claimed_late(self) -> None:
            """What is known of a connection outlives its time to live."""
            view = seen(1, "42", "channel:x")
            nodes = await self._lost(view, ttl=SHORT)
            await nodes.pass_time(SHORT * 2)
            self.assertEqual(await _all(nodes.here), {})
            self.assertEqual(await _claim_all(nodes.here), {view.connection_id: _lost(view)})

        async def test_lives_after_all(self) -> None:
            """A connection whose node is back owes nobody anything, and is touched by no claim."""
            view = seen(1, "42", "channel:x")
            nodes = await self._lost(view)
            await _claim_all(nodes.here)
            await nodes.there.renew(LONG)
            await nodes.there.put([view], LONG)
            self.assertEqual(await _claim_all(nodes.here, again=True), {})
            await nodes.here.settle([view.connection_id])
            self.assertEqual(await _all(nodes.here, "channel:x"), {view.connection_id: view})
            await nodes.there.renew(0)
            self.assertEqual(
                await _claim_all(nodes.here, NOW + 7), {view.connection_id: _lost(view, lost_at_ms=NOW + 7)}
            )

        async def test_lives_elsewhere(self) -> None:
            """A connection that another node has taken over is not lost with the first one."""
            view = seen(1, "42", "channel:x")
            nodes = await self._lost(view)
            await nodes.here.put([view], LONG)
            self.assertEqual(await _claim_all(nodes.elsewhere), {})
            self.assertEqual(await _all(nodes.here, "channel:x"), {view.connection_id: view})

        async def test_not_lost(self) -> None:
            """Whoever left before its node died is not lost with it; nobody claims what is its own."""
            gone, own = seen(1), seen(2)
            nodes = await self._two()
            await nodes.there.put([gone], LONG)
            await nodes.there.remove([gone])
            await nodes.there.renew(0)
            await nodes.here.put([own], LONG)
            await nodes.here.renew(0)
            self.assertEqual(await _claim_all(nodes.here), {})
            self.assertEqual(await nodes.here.sweep(), 0)
            await nodes.here.renew(LONG)
            self.assertEqual(await _all(nodes.here), {own.connection_id: own})

        async def test_swept_instead(self) -> None:
            """A node that tells nobody sweeps what a dead one owed as well."""
            nodes = await self._lost(seen(1), seen(2), seen(3))
            await nodes.here.claim(2, NOW, False)
            await nodes.here.renew(0)
            swept = 0
            while some := await nodes.elsewhere.sweep():
                swept += some
            self.assertEqual(swept, 3)
            self.assertEqual(await _claim_all(nodes.there), {})

    return PresenceContract


def _odd(number: int) -> ConnectionView:
    return seen(100 + number, ODD[number], ODD[-1 - number])
