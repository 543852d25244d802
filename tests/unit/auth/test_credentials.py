from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.auth.credentials import answered_subprotocol, find_token
from ws_gateway.domain.messages import Handshake


def handshake(query=(), **headers):
    lines = {name.replace("_", "-"): tuple(values) for name, values in headers.items()}
    return Handshake("/ws", tuple(query), lines)


def found(query=(), **headers):
    credential = find_token(handshake(query, **headers))
    return None if credential is None else (credential.token, credential.source)


class FindTokenTests(SynchronousTestCase):
    """Where tokens are looked for, and in which order."""

    def test_nothing(self):
        """A handshake without any token has none."""
        self.assertIsNone(found([("v", "1")], host=["example.com"]))

    def test_header_spellings(self):
        """The scheme may be in any case, followed by one blank or more."""
        for line in ("Bearer abc", "bearer abc", "BEARER \t  abc", "bEaReR abc  "):
            self.assertEqual(found(authorization=[line]), ("abc", "header"), line)

    def test_other_schemes_are_passed_over(self):
        """A proxy's own login neither counts as a token nor hides one."""
        self.assertIsNone(found(authorization=["Basic dXNlcjpwYXNz"]))
        self.assertIsNone(found(authorization=["Bearerabc", "abc"]))
        self.assertEqual(found(authorization=["Basic dXNlcg==", "Bearer abc"]), ("abc", "header"))
        self.assertEqual(found(authorization=["Basic dXNlcg==, Bearer abc"]), ("abc", "header"))
        self.assertEqual(found([("token", "abc")], authorization=["Basic dXNlcg=="]), ("abc", "query"))

    def test_first_bearer_line_decides(self):
        """Of several bearer lines the first one counts."""
        self.assertEqual(found(authorization=["Bearer one", "Bearer two"]), ("one", "header"))

    def test_order(self):
        """Header, query `token`, query `access_token`, subprotocol: the first one found decides."""
        query = [("access_token", "b"), ("token", "a")]
        protocol = ["bearer, c"]
        self.assertEqual(
            found(query, authorization=["Bearer bad"], sec_websocket_protocol=protocol), ("bad", "header")
        )
        self.assertEqual(found(query, sec_websocket_protocol=protocol), ("a", "query"))
        self.assertEqual(found(query[:1], sec_websocket_protocol=protocol), ("b", "query"))
        self.assertEqual(found(sec_websocket_protocol=protocol), ("c", "subprotocol"))

    def test_empty_values_are_no_tokens(self):
        """An empty value does not end the search."""
        for line in ("Bearer", "Bearer "):
            self.assertEqual(found([("token", "abc")], authorization=[line]), ("abc", "query"))
        self.assertEqual(found([("token", ""), ("access_token", "abc")]), ("abc", "query"))
        self.assertEqual(found([("token", ""), ("token", "abc")]), ("abc", "query"))
        self.assertIsNone(found([("token", ""), ("access_token", "")]))

    def test_query_is_taken_as_it_is(self):
        """A blank behind a token in the query belongs to it, and the token will be refused."""
        self.assertEqual(found([("token", "abc ")]), ("abc ", "query"))

    def test_subprotocol_pair(self):
        """The token follows `bearer`, on the same line or the next, with others around them."""
        for lines in (["bearer, abc"], ["bearer", "abc"], ["chat,bearer,abc,chat2"], ["chat", "Bearer,abc"]):
            self.assertEqual(found(sec_websocket_protocol=lines), ("abc", "subprotocol"), lines)

    def test_subprotocol_without_a_token(self):
        """`bearer` alone or at the end carries nothing."""
        for lines in (["bearer"], ["abc, bearer"], ["bearer,"], [""]):
            self.assertIsNone(found(sec_websocket_protocol=lines), lines)

    def test_repr(self):
        """A credential can be logged: its token does not show."""
        credential = find_token(handshake([("token", "CANARY")]))
        self.assertNotIn("CANARY", repr(credential))


class AnsweredSubprotocolTests(SynchronousTestCase):
    """What the answer selects."""

    def test_bearer(self):
        """`bearer` is selected as it was spelled, wherever the token was found, and never the token."""
        self.assertEqual(answered_subprotocol(handshake(sec_websocket_protocol=["bearer, abc"])), "bearer")
        self.assertEqual(
            answered_subprotocol(handshake(sec_websocket_protocol=["x", "Bearer,abc"])), "Bearer"
        )
        with_header = handshake(sec_websocket_protocol=["bearer"], authorization=["Bearer abc"])
        self.assertEqual(answered_subprotocol(with_header), "bearer")

    def test_nothing_offered(self):
        """What was not offered is not selected."""
        self.assertIsNone(answered_subprotocol(handshake()))
        self.assertIsNone(answered_subprotocol(handshake(sec_websocket_protocol=["chat"])))
