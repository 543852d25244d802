"""Short lives of clients. Each scene is played directly and through nginx, and both must look the same.

A scene says only what is certain: where two things happen at once, their order is not written down.
"""

import json
import time

from tests.integration.harness.rawclient import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_payload,
    frame,
)
from tests.integration.harness.tokens import token_for
from tests.proxy.stage import Scene, Stage

__all__ = ["LIVES", "REFUSALS"]


def _talk(stage: Stage) -> None:
    """A ping, a message, a text that is no JSON, a binary frame, a publication, a close."""
    client = stage.open(headers=[("traceparent", f"00-{'a' * 32}-{'b' * 16}-01")])
    client.send_json({"type": "ping"})
    stage.frames(client, 1)
    client.send_text('{"type":"chat","n":1.10}')
    client.send_text("plain text")
    client.send(frame(BINARY, b"\x00\xff"))
    client.send_json({"type": "heartbeat"})
    stage.frames(client, 1)
    stage.publish({"hello": "w\u00f6rld", "n": 1.5})
    stage.frames(client, 1)
    stage.say("answered with", client.close(1000, "bye"))
    stage.events()


def _frames_behind_the_head(stage: Stage) -> None:
    """Frames in the packet of the handshake."""
    client = stage.client()
    ping = frame(TEXT, b'{"type":"ping"}')
    client.send(client.head(stage.token) + ping * 3 + frame(CLOSE, close_payload(1001)))
    client.expect_open()
    stage.frames(client, 4)
    stage.say("then", client.read_rest())
    stage.events()


def _control_frames(stage: Stage) -> None:
    """Pings with and without a payload, unasked pongs, a ping between fragments, fragments of every size."""
    client = stage.open()
    client.send(frame(PING, b"are you there") + frame(PONG, b"unasked") + frame(PING))
    stage.frames(client, 2)
    client.send(frame(TEXT, b'{"type":', fin=False) + frame(PING, b"between"))
    stage.frames(client, 1)
    client.send(frame(CONTINUATION, b"", fin=False) + frame(CONTINUATION, b'"pieces"}'))
    client.send_json({"type": "ping"})
    stage.frames(client, 1)
    stage.say("answered with", client.close(3999))
    stage.events()


def _in_drips(stage: Stage) -> None:
    """Head and frames byte by byte."""
    client = stage.client()
    for byte in client.head(stage.token):
        client.send(bytes([byte]))
    client.expect_open()
    for byte in frame(TEXT, b'{"type":"ping","and":"more"}'):
        client.send(bytes([byte]))
    stage.frames(client, 1)
    stage.say("answered with", client.close())
    stage.events()


def _large(stage: Stage) -> None:
    """A publication of 900 kB, and the largest message that is allowed."""
    client = stage.open()
    stage.publish("x" * 900_000)
    stage.frames(client, 1)
    client.send_text(json.dumps({"text": "y" * 65_000}))
    client.send_json({"type": "ping"})
    stage.frames(client, 1)
    stage.say("answered with", client.close())
    stage.events()


def _many(stage: Stage) -> None:
    """500 messages in and 500 publications out keep their order."""
    client = stage.open()
    client.send(b"".join(frame(TEXT, b'{"n":%d}' % number) for number in range(500)))
    client.ping_pong()
    batch = [{"subjects": [f"user:{stage.user}"], "payload": number} for number in range(500)]
    answer = stage.daemon.call("POST", "/internal/publish/batch", {"publications": batch})
    stage.say("sent to", answer.json())
    stage.frames(client, 500)
    stage.say("answered with", client.close())
    stage.events()


def _too_large(stage: Stage) -> None:
    """A message over the limit is closed with 1009."""
    client = stage.open()
    client.send(frame(TEXT, b"x" * 65_537))
    stage.closed(client)
    stage.events()


def _not_utf8(stage: Stage) -> None:
    """Invalid UTF-8 is closed with 1007."""
    client = stage.open()
    client.send(frame(TEXT, b"\xff\xfe"))
    stage.closed(client)
    stage.events()


def _against_the_protocol(stage: Stage) -> None:
    """A frame without a mask is closed with 1002."""
    client = stage.open()
    client.send(frame(TEXT, b"{}", masked=False))
    stage.closed(client)
    stage.events()


def _empty_close(stage: Stage) -> None:
    """A close without a code is 1005 for the backend."""
    client = stage.open()
    client.send(frame(CLOSE))
    got = client.read_frame()
    stage.say("answered with", got.opcode, got.code in (None, 1000), client.read_rest())
    stage.events()


def _kicked(stage: Stage) -> None:
    """The backend ends it with a code and a reason of its own."""
    client = stage.open()
    body = {"user_id": stage.user, "code": 4001, "reason": "moved \u2192 there"}
    stage.say("kicked", stage.daemon.call("POST", "/internal/disconnect", body).json())
    stage.closed(client)
    stage.events()


def _expired(stage: Stage) -> None:
    """A token that expires while its client is connected."""
    client = stage.client().handshake(token_for(stage.user, exp=int(time.time()) + 2))
    stage.closed(client)
    stage.events()


def _vanished(stage: Stage) -> None:
    """A reset instead of a close, with half a frame under way."""
    client = stage.open()
    client.send_json({"n": 1})
    client.ping_pong()
    client.send(frame(TEXT, b'{"never":"complete"}')[:9])
    client.reset()
    stage.events()


def _shut(stage: Stage) -> None:
    """The end of the stream instead of a close: what was said before it counts."""
    client = stage.open()
    client.send_json({"n": 1})
    client.socket.shutdown(1)
    stage.say("then", client.read_rest())
    stage.events()


def _closed_and_shut(stage: Stage) -> None:
    """A Close frame and at once the end of the stream; the answer may be lost, the code is not."""
    client = stage.open()
    client.send_json({"n": 1})
    client.send(frame(CLOSE, close_payload(1001, "tab closed")))
    client.socket.shutdown(1)
    stage.events()


def _subprotocol(stage: Stage) -> None:
    """What a browser does: the token beside `bearer`."""
    client = stage.client()
    offer = [("Sec-WebSocket-Protocol", f"bearer, {stage.token}"), ("Cookie", "a=b; c=d")]
    client.send(client.head(headers=offer))
    client.expect_open()
    stage.say("selected", client.headers.get("sec-websocket-protocol"))
    stage.say("answered with", client.close())
    stage.events()


def _in_the_query(stage: Stage) -> None:
    """A token, channels and odd characters in the query, a slash behind the path."""
    client = stage.client()
    client.handshake(target=f"/ws/?channels=a,b%20c&x=%zz&token={stage.token}&y=%C3%A4")
    client.ping_pong()
    stage.say("answered with", client.close())
    stage.events()


def _large_head(stage: Stage) -> None:
    """A head of nearly 16 KiB, most of it one line."""
    client = stage.open(headers=[("X-Large", "x" * 15_000)])
    stage.say("answered with", client.close())
    stage.events()


LIVES: tuple[Scene, ...] = (
    _talk,
    _frames_behind_the_head,
    _control_frames,
    _in_drips,
    _large,
    _many,
    _too_large,
    _not_utf8,
    _against_the_protocol,
    _empty_close,
    _kicked,
    _expired,
    _vanished,
    _shut,
    _closed_and_shut,
    _subprotocol,
    _in_the_query,
    _large_head,
)


def _refused(stage: Stage, token: str | None) -> None:
    client = stage.client()
    client.send(client.head(token))
    client.expect_open()
    stage.closed(client)


def _no_token(stage: Stage) -> None:
    """4401 behind a completed handshake."""
    _refused(stage, None)


def _bad_token(stage: Stage) -> None:
    """The same, whatever is wrong."""
    _refused(stage, stage.token[:-8] + "AAAAAAAA")


def _old_token(stage: Stage) -> None:
    """And for the most common of all."""
    _refused(stage, token_for(stage.user, exp=int(time.time()) - 60))


def _refusal_and_frames(stage: Stage) -> None:
    """A refused client that talks on without waiting reads its code nevertheless."""
    client = stage.client()
    client.send(client.head("nonsense") + frame(TEXT, b'{"type":"ping"}') * 20)
    client.expect_open()
    stage.closed(client)


def _wrong_origin(stage: Stage) -> None:
    """403, and a page of the right origin or of our own host is let in."""
    client = stage.client()
    client.send(client.head(stage.token, headers=[("Origin", "https://evil.example")]))
    stage.answer(client)
    for origin in ("https://app.example.com", "http://gateway.test"):
        stage.say("answered with", stage.open(headers=[("Origin", origin)]).close())


def _origin_with_port(stage: Stage) -> None:
    """The host of an Origin is compared with its port."""
    lines = [("Host", "gateway.test:8443"), ("Origin", "https://gateway.test:8443")]
    stage.say("answered with", stage.open(headers=lines, without=["Host"]).close())


def _no_upgrade(stage: Stage) -> None:
    """426, 405 and 400."""
    for send in (
        b"GET /ws HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /ws HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"DELETE /ws HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        client = stage.client()
        client.send(send)
        stage.answer(client)
    for headers, without in (
        ([("Sec-WebSocket-Version", "8")], ["Sec-WebSocket-Version"]),
        ([("Sec-WebSocket-Key", "short")], ["Sec-WebSocket-Key"]),
        ([], ["Sec-WebSocket-Key"]),
    ):
        client = stage.client()
        client.send(client.head(stage.token, headers=headers, without=without))
        stage.answer(client)


def _user_full(stage: Stage) -> None:
    """4429 for one connection too many of a user."""
    stage.open().ping_pong()
    stage.open().ping_pong()
    _refused(stage, stage.token)


REFUSALS: tuple[Scene, ...] = (
    _no_token,
    _bad_token,
    _old_token,
    _refusal_and_frames,
    _wrong_origin,
    _origin_with_port,
    _no_upgrade,
    _user_full,
)
