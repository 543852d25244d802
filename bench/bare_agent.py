"""What webhooks are measured beside: Twisted's Agent with kept connections, 16 requests in flight.

Prints one line of JSON: requests a second, and their times from the call to the end of the answer.
"""

import argparse
import json
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react
from twisted.web.client import Agent, HTTPConnectionPool, readBody
from twisted.web.http_headers import Headers

from ws_gateway.events.bodies import BytesProducer

IN_FLIGHT = 16
WARM_UP_SECONDS = 0.3
BODY = b'{"type":"message_received","filler":"' + b"x" * 460 + b'"}'
"""As long as the gateway's event of the same measurement."""


class Caller:
    """Posts one request after the other, and keeps their times."""

    def __init__(self, reactor: Any, agent: Agent, url: bytes, until: float, from_: float) -> None:
        self._reactor, self._agent, self._url = reactor, agent, url
        self._until, self._from = until, from_
        self.times: list[float] = []

    async def post(self) -> None:
        """Post until the time is over."""
        seconds = self._reactor.seconds
        headers = Headers({b"Content-Type": [b"application/json"], b"User-Agent": [b"bare-agent"]})
        while (began := seconds()) < self._until:
            response = await self._agent.request(b"POST", self._url, headers, BytesProducer(BODY))
            await readBody(response)
            if response.code != 200:
                raise RuntimeError(f"the receiver answered {response.code}")
            if self._from <= began and seconds() <= self._until:
                self.times.append(seconds() - began)


async def measure(reactor: Any, port: int, seconds: float) -> None:
    """Post for so many seconds and print what came of it."""
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = IN_FLIGHT
    agent = Agent(reactor, pool=pool)
    begin = reactor.seconds() + WARM_UP_SECONDS
    url = b"http://127.0.0.1:%d/hook" % port
    caller = Caller(reactor, agent, url, begin + seconds, begin)
    await gatherResults([Deferred.fromCoroutine(caller.post()) for _ in range(IN_FLIGHT)], consumeErrors=True)
    await pool.closeCachedConnections()
    times = sorted(caller.times)

    def part(share: float) -> float:
        return 1000 * times[min(len(times) - 1, int(share * len(times)))]

    print(json.dumps({"rate": len(times) / seconds, "p50_ms": part(0.5), "p99_ms": part(0.99)}))


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(measure(reactor, options.port, options.seconds)))


if __name__ == "__main__":
    main()
