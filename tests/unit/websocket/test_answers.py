"""The bytes that refused clients get."""

import json
from http import HTTPStatus

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.testing.frames import read_frames
from ws_gateway.websocket.answers import accept_key, close_answer, is_key, problem_answer


class AnswerTests(SynchronousTestCase):
    def test_accept_key(self) -> None:
        """The example of RFC 6455 section 1.3 comes out right."""
        self.assertEqual(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")

    def test_is_key(self) -> None:
        """A key is the base64 of 16 bytes, nothing else."""
        self.assertTrue(is_key("dGhlIHNhbXBsZSBub25jZQ=="))
        for wrong in [
            None,
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ== ",
            "dGhlIHNhbXBsZSBub25jZ!==",
            "A" * 24,
            "dGhlIHNhbXBsZSBub25j\xe9Q==",
        ]:
            self.assertFalse(is_key(wrong), wrong)

    def test_problem(self) -> None:
        """A problem answer is a whole response that closes the connection."""
        answer = problem_answer(HTTPStatus.FORBIDDEN, "not here", (("Retry-After", "5"),))
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.assertEqual(lines[0], "HTTP/1.1 403 Forbidden")
        self.assertIn("Content-Type: application/problem+json", lines)
        self.assertIn(f"Content-Length: {len(body)}", lines)
        self.assertIn("Connection: close", lines)
        self.assertIn("Retry-After: 5", lines)
        self.assertEqual(
            json.loads(body),
            {"type": "about:blank", "title": "Forbidden", "status": 403, "detail": "not here"},
        )

    def test_close(self) -> None:
        """A close answer is a completed handshake and one Close frame."""
        for subprotocol, reason, told in [
            (None, "unauthorized", "unauthorized"),
            ("bearer", "é" * 100, "é" * 61),
        ]:
            answer = close_answer("dGhlIHNhbXBsZSBub25jZQ==", subprotocol, 4401, reason)
            head, _, behind = answer.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            self.assertEqual(lines[0], "HTTP/1.1 101 Switching Protocols")
            self.assertIn("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", lines)
            self.assertEqual(
                [line for line in lines if line.startswith("Sec-WebSocket-Protocol")],
                [] if subprotocol is None else ["Sec-WebSocket-Protocol: bearer"],
            )
            received = read_frames(behind)
            self.assertEqual((len(received.frames), received.rest), (1, b""))
            self.assertEqual(received.close, (4401, told))
