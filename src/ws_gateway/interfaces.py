"""Every interface between the rooms. Methods have no `self`, as zope.interface wants it.

An interface says when a call may be made, what its Deferred fires with and which failures exist; the
implementations repeat none of it. The module is long because it is the one place for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence, Set

    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    from ws_gateway.domain.lost import Claim
    from ws_gateway.domain.messages import (
        ConnectionView,
        Entry,
        Envelope,
        Event,
        Handshake,
        Identity,
        Publication,
        Receipt,
    )
    from ws_gateway.domain.outgoing import Batch
    from ws_gateway.domain.spans import SpanKind
    from ws_gateway.domain.views import (
        ConnectionDetail,
        ConnectionPage,
        DeadLetterView,
        Overview,
        QueuesView,
        RecordedEvent,
    )

__all__ = [
    "IAuthenticator",
    "IConnection",
    "IConnectionDirectory",
    "IConnectionObserver",
    "ICounter",
    "IDelivery",
    "IEventEmitter",
    "IEventSink",
    "IHistogram",
    "IInbox",
    "IInspector",
    "IKeySource",
    "IMetrics",
    "IPresenceStore",
    "IPublicationSource",
    "IPublicationTaker",
    "IReadiness",
    "IRelay",
    "ISpan",
    "IStreamSink",
    "ISubjectPolicy",
    "ITracer",
]


class IAuthenticator(Interface):
    """Tells who a client is, from its handshake alone."""

    def authenticate(handshake: Handshake) -> Deferred[Identity]:
        """Find the token and judge it.

        Cancelling the Deferred gives up; nothing of the handshake is kept afterwards.

        :returns Deferred[Identity]: already fired where the key is at hand.
        :raises HandshakeRefused: no token, or one that is not accepted.
        :raises KeysUnavailable: no key could ever be loaded.
        """


class IKeySource(Interface):
    """Where the keys that verify tokens come from."""

    def candidates(header: Mapping[str, Any]) -> Deferred[Sequence[Any]]:
        """The keys that may have signed a token with this JOSE header, best first.

        Keys are what PyJWT's algorithms take (`prepare_key` done). Cancelling gives up waiting.

        :returns Deferred[Sequence]: empty if no key fits.
        :raises KeysUnavailable: no key could ever be loaded.
        """


class ISubjectPolicy(Interface):
    """Decides what a connection listens to."""

    def grant(identity: Identity, wanted: Sequence[str]) -> Deferred[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Judge the channels that a client asked for.

        :param wanted: channel names from the query, without prefix, in order.
        :returns Deferred[(granted, refused)]: subjects; the user's own subject is the first granted one. A
            wish that is not granted is no error: the connection opens without it.
        """


class IConnection(Interface):
    """One open client, as the registry and the delivery see it."""

    connection_id: str = Attribute("UUID, never reused.")
    user_id: str = Attribute("Whose connection this is.")
    subjects: tuple[str, ...] = Attribute("What it listens to; never changes while it is registered.")

    def send_many(batch: Batch) -> int:
        """Queue the publications of a batch, in order. Never raises, never blocks, never closes anything
        before it returns.

        :returns: how many were queued: all, fewer when the client's queue refused the newest ones, 0 when
            the connection is closing.
        """

    def kick(code: int, reason: str) -> None:
        """Close the connection soon, not within this call. Idempotent."""

    def shut_down() -> None:
        """Close the connection soon because the node stops (1012). Idempotent."""

    def view() -> ConnectionView:
        """The connection as the HTTP API shows it."""

    def backlog() -> tuple[int, int]:
        """(publications, bytes) that wait for the client. Asked of every connection in a row."""

    def describe() -> ConnectionDetail:
        """The connection as operators see it."""


class IConnectionDirectory(Interface):
    """Who is connected to this node."""

    def page(
        subject: str | None = None,
        user_id: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> tuple[list[ConnectionView], str | None]:
        """Connections that fit all given filters, in the order in which they came.

        :param cursor: what a former page returned; None begins.
        :param limit: at most so many; None means all.
        :returns: the page and the cursor of the next one, None after the last.
        :raises ValueError: the cursor is not one of ours.
        """

    def listening(subjects: Sequence[str], excluded: Set[str]) -> int:
        """How many connections a publication to these subjects would reach, each counted once.

        :param excluded: connection ids that do not count.
        """

    def count(connection_id: str | None = None, user_id: str | None = None) -> int:
        """How many connections disconnect() would tell to close."""

    def disconnect(
        code: int, reason: str, connection_id: str | None = None, user_id: str | None = None
    ) -> int:
        """Kick the connections that fit all given filters (at least one is given).

        :returns: how many were told to close.
        """


class IConnectionObserver(Interface):
    """Who wants to know at once who comes to this node and who goes. Never raises, never blocks."""

    def came(connection: IConnection) -> None:
        """It is open, and in the directory."""

    def went(connection: IConnection) -> None:
        """It came before, and is in the directory no more."""


class IDelivery(Interface):
    """The one way to clients: whatever publishes, publishes here."""

    def deliver(publications: Sequence[Publication], whole: bool = False) -> Deferred[list[int]]:
        """Hand publications to the connections of their subjects; first in, first out for the whole node.

        :param whole: nothing else belongs to them, so they need not wait for company.
        :returns Deferred[list[int]]: for each publication, to how many connections it was queued.
        :raises Overloaded: (as a failure) too much is waiting already; nothing of this call was taken.
        """


class IEventEmitter(Interface):
    """Where events enter on their way to the backend."""

    def emit(event: Event, accepted: Callable[[], None] | None = None) -> bool:
        """Hand over. Never raises, never blocks.

        :param accepted: called once when every sink has taken the event or given it up; before this returns
            if none is to have it.
        :returns: False if the event was refused and no sink will ever have it.
        """


class IEventSink(Interface):
    """One destination of events: delivers, and does nothing else. No retry, no queue inside."""

    name: str = Attribute("A word for metrics and logs: `webhook`, `redis`, `log`.")
    max_batch: int = Attribute("How many envelopes one call of deliver() may carry, at least 1.")

    def deliver(envelopes: Sequence[Envelope]) -> Deferred[list[Receipt | Failure]]:
        """Deliver a batch, in order.

        :returns Deferred[list]: one result an envelope: a Receipt, or a Failure with TargetDown, EventFailed
            or EventRefused. The Deferred itself does not fail. What is unknown (a connection lost in flight)
            is a TargetDown; the pipeline repeats it with the same event_id.
        """

    def close() -> Deferred[None]:
        """Give back connections and everything else that is held. Called once, after the last deliver()."""


class IStreamSink(Interface):
    """A destination that keeps order by itself: it takes runs of events of one stream. It repeats nothing and
    queues nothing, but it knows what it has taken: whatever is offered again is not taken twice."""

    name: str = Attribute("A word for metrics and logs: `redis`.")
    max_batch: int = Attribute("How many envelopes one call of append() may carry, at least 1.")
    window: int = Attribute("How many calls of append() may be under way for one stream, at least 1.")

    def stream_of(envelope: Envelope) -> str:
        """The stream that an event belongs to; always the same one for the same event. Cheap."""

    def append(stream: str, envelopes: Sequence[Envelope]) -> Deferred[None]:
        """Append a run of events of one stream, in order, all of them or none.

        Runs of a stream are offered in order, up to `window` of them side by side. After one has failed,
        nothing more is offered before all of its stream that are under way have ended; then the events that
        are not settled are offered again, oldest first, in the same order, cut into runs in any way.

        :raises TargetDown: (as a failure) not taken, or nobody knows.
        """

    def close() -> Deferred[None]:
        """Give back everything that is held. Called once, after the last append()."""


class IPublicationTaker(Interface):
    """Whoever takes what brokers bring from the backend: documents as they were written."""

    def take(documents: Sequence[bytes]) -> Deferred[list[str | None]]:
        """Deliver, in order. The next call may come before this one has ended; order holds nevertheless.

        :returns Deferred[list]: one for each document: None, or in a sentence why nobody can use it. It does
            not fail; where too much is waiting it fires late.
        """

    def judge(document: bytes) -> str | None:
        """Why nobody can use a document, without delivering it; None if it is fine."""


class IPublicationSource(Interface):
    """A broker that brings publications; an IService, too. While the broker is away it waits, and goes on
    where it was."""

    name: str = Attribute("A word for metrics and logs: `redis`, `rabbitmq`.")

    def feed(taker: IPublicationTaker) -> None:
        """Who gets the publications. Called once, before the service starts."""

    def positioned() -> Deferred[None]:
        """Wait until nothing that is written from now on can be missed, or until it is clear that the broker
        is not there. Does not fail. May be called again and again.
        """


class IRelay(Interface):
    """The way to all nodes at once: through the outbox that every node reads."""

    usable: bool = Attribute("Whether it can relay at the moment, as far as it knows. Cheap.")

    def relay(documents: Sequence[bytes]) -> Deferred[None]:
        """Write documents to the outbox, in order.

        :raises BrokerDown: (as a failure) not written, or nobody knows.
        :raises BrokerRefused: (as a failure) the broker does not want them.
        """


class IInbox(Interface):
    """A broker that brings events to an application; an IService, too. While the broker is away it waits.

    Every event is brought until it is acknowledged, be it to another consumer after this one has died: so it
    may come twice, with the same event_id.
    """

    name: str = Attribute("A word for logs: `redis`, `rabbitmq`.")

    def next(most: int) -> Deferred[list[Entry]]:
        """Wait for the next events. Cancelling gives up waiting, and loses nothing.

        :param most: so many at once at most; whoever asked gets one at least.
        :returns Deferred[list[Entry]]: in the order of each stream or queue.
        """

    def acknowledge(entries: Sequence[Entry]) -> Deferred[None]:
        """The application is done with them.

        :returns Deferred[None]: when that is said: a death of the process does not unsay it.
        :raises BrokerDown: (as a failure) they may come again.
        :raises BrokerRefused: (as a failure) likewise.
        """

    def give_up(entry: Entry, reason: str) -> Deferred[None]:
        """Make it a dead letter, and acknowledge it, in one go.

        :param reason: a sentence.
        :raises BrokerDown: (as a failure) it may come again.
        :raises BrokerRefused: (as a failure) it stays unacknowledged.
        """


class IPresenceStore(Interface):
    """Where all nodes together remember who is connected (contract section 8).

    Every call is one exchange with the store; what is given to one call is small enough for one reactor turn.
    """

    def put(views: Sequence[ConnectionView], ttl: float) -> Deferred[None]:
        """Remember connections of this node, or remember them longer. Idempotent.

        :param ttl: seconds after which they are forgotten if nobody calls again.
        :raises BrokerDown: (as a failure)
        :raises BrokerRefused: (as a failure)
        """

    def remove(views: Sequence[ConnectionView]) -> Deferred[None]:
        """Forget connections of this node; raises like put()."""

    def renew(seconds: float) -> Deferred[bool]:
        """Hold the lease of this node for so long: without one, its connections count as gone.

        :param seconds: 0 gives it up.
        :returns Deferred[bool]: whether it was still held. If not, whatever was put before may be forgotten.

        Raises like put().
        """

    def page(
        subject: str | None, user_id: str | None, cursor: str | None, limit: int
    ) -> Deferred[tuple[list[ConnectionView], str | None]]:
        """Connections of all nodes that fit all given filters, in no order.

        :param cursor: what a former page returned; None begins.
        :param limit: about so many; a page may be shorter, even empty, without being the last one.
        :returns Deferred: the page and the cursor of the next one, None after the last. Whoever was there the
            whole time is shown at least once.
        :raises ValueError: (as a failure) the cursor is not one of ours.
        :raises BrokerDown: (as a failure)
        :raises BrokerRefused: (as a failure)
        """

    def sweep() -> Deferred[int]:
        """Forget some connections of other nodes whose lease is over, and what those nodes owed.

        :returns Deferred[int]: how many; 0 when there is nothing left to do.

        Raises like put().
        """

    def claim(most: int, at_ms: int, again: bool) -> Deferred[Claim]:
        """Forget them likewise, but owe the backend a word of each: it is a debt of this node until settle()
        is called, and when the lease of this node is over, a debt of whoever claims it then.

        Nobody else is given what was claimed here, and it is the same whoever claims it. A connection whose
        node lives after all is no debt any more. What is still known of a connection outlives its time to
        live: it can be claimed for a day.

        :param most: how many connections at most; fewer may be found though there are more.
        :param at_ms: Unix milliseconds of now, for those that nobody has claimed before.
        :param again: begin with what this node owes already; only for who is telling nobody of anything, such
            as one who never heard what became of a call.

        Raises like put().
        """

    def settle(connection_ids: Sequence[str]) -> Deferred[None]:
        """The backend was told of these, or nobody ever will. Idempotent; raises like put()."""


class IReadiness(Interface):
    """A component that can say how it is."""

    def readiness() -> tuple[str, str, str]:
        """Asked at each `/ready`; must be cheap.

        :returns: (name, status, detail); status is `ok`, `degraded` (works, something behind us does not) or
            `failed` (send no new clients here); detail is one sentence without secrets, empty when ok.
        """


class IInspector(Interface):
    """What operators may see of a node, and the one thing that they may do. Nothing is kept for it that costs
    when nobody looks; every answer is made at once, and bounded. Views: `domain.views`."""

    def overview() -> Overview:
        """The node at a glance."""

    def connections(limit: int = 50, cursor: str | None = None) -> ConnectionPage:
        """Who is connected, in the order in which they came.

        :param cursor: what a former page returned; None begins.
        :raises ValueError: the cursor is not one of ours.
        """

    def who(subject_or_user: str, limit: int = 50, cursor: str | None = None) -> ConnectionPage:
        """Who listens to a subject (`user:42`, `channel:news`), or else who is connected as that user.

        :raises ValueError: the cursor is not one of ours.
        """

    def tail(connection_id: str, limit: int = 20, with_text: bool = False) -> tuple[RecordedEvent, ...]:
        """The last events of a connection, be it still here or not; the newest last.

        :param with_text: with the first 200 characters of each message: personal data, so only for whoever
            asks, and never for a log.
        :returns: empty if nothing (any more) is remembered of it.
        """

    def explain(connection_id: str) -> ConnectionDetail | None:
        """Why a connection was let in, what it may hear, how far its limits are used; None if it is gone."""

    def queues(limit: int = 20) -> QueuesView:
        """What waits: events for sinks, publications for slow clients.

        :param limit: how many slow clients are named.
        """

    def dead_letters(limit: int = 20) -> tuple[DeadLetterView, ...]:
        """The events that were given up last; the newest first."""

    def kick(connection_id: str, reason: str = "") -> bool:
        """Close a connection with 4403.

        :param reason: what the client is told; cut at 123 bytes.
        :returns: whether it was here.
        """


class ICounter(Interface):
    """A number that only grows."""

    def inc(amount: float = 1) -> None:
        """Add."""


class IHistogram(Interface):
    """A distribution of seconds or sizes."""

    def observe(amount: float) -> None:
        """Record one value."""


class IMetrics(Interface):
    """Where a component gets its instruments, once, in its constructor, so that all exist at zero.

    Asking again for the same name and labels gives the same instrument. Labels never carry an id.
    """

    def counter(name: str, documentation: str, labels: Mapping[str, str] | None = None) -> ICounter:
        """A counter; the name ends in `_total`."""

    def gauge(
        name: str, documentation: str, read: Callable[[], float], labels: Mapping[str, str] | None = None
    ) -> None:
        """A value that is read when somebody looks."""

    def histogram(
        name: str,
        documentation: str,
        buckets: Sequence[float],
        labels: Mapping[str, str] | None = None,
    ) -> IHistogram:
        """A histogram with the given upper bounds."""


class ISpan(Interface):
    """One piece of work that a trace shows, under way. Nothing of it raises or blocks."""

    traceparent: str | None = Attribute(
        "What whoever is called on the way is told: the context of this span. None where nothing is traced."
    )

    def note(name: str, value: str | int) -> None:
        """Say more about it. Never a token, a user id or anything else that is personal."""

    def end(error: str = "") -> None:
        """It is over. Called once.

        :param error: what went wrong, in a word or two; empty if nothing did.
        """


class ITracer(Interface):
    """Where spans begin. Whole exchanges have one (a handshake, a webhook request, a publish call); frames
    and deliveries to clients never do."""

    def begin(name: str, kind: SpanKind, parent: str | None) -> ISpan:
        """Begin a span. Never raises, never blocks.

        :param name: one of a few names, without ids.
        :param parent: a valid traceparent to go on from; with None a new trace begins.
        """
