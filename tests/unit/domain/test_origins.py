"""Which web pages may open connections."""

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.origins import OriginRule

HOST = "gateway.example.net"


class OriginRuleTests(SynchronousTestCase):
    def judge(
        self, rule: OriginRule, good: tuple[str, ...], bad: tuple[str, ...], host: str | None = HOST
    ) -> None:
        for origin in good:
            self.assertTrue(rule.allows(origin, host), origin)
        for origin in bad:
            self.assertFalse(rule.allows(origin, host), origin)

    def test_no_setting(self) -> None:
        """Without the setting every origin passes, of any form."""
        self.judge(OriginRule(()), ("https://evil.example", "null", "", "nonsense"), ())

    def test_no_origin(self) -> None:
        """A request without Origin is no browser's and passes."""
        self.assertTrue(OriginRule(["https://app.example.com"]).allows(None, HOST))

    def test_exact(self) -> None:
        """An exact origin is scheme, host and port; case and a default port do not matter."""
        self.judge(
            OriginRule(["https://App.example.com", "http://localhost:3000", "http://old.example.com:80"]),
            (
                "https://app.example.com",
                "HTTPS://APP.EXAMPLE.COM",
                "https://app.example.com:443",
                "http://localhost:3000",
                "http://old.example.com",
            ),
            (
                "http://app.example.com",
                "https://app.example.com:8443",
                "https://app.example.com:80",
                "https://app.example.com.evil.example",
                "https://evilapp.example.com",
                "https://a.app.example.com",
                "app.example.com",
                "http://localhost",
                "https://localhost:3000",
                "null",
                "",
                "file://",
            ),
        )

    def test_pattern(self) -> None:
        """A pattern is any subdomain, not the domain itself, on that scheme and port."""
        self.judge(
            OriginRule(["https://*.example.com", "http://*.dev.example.com:8080"]),
            (
                "https://a.example.com",
                "https://a.b.example.com",
                "https://A.Example.com:443",
                "http://x.dev.example.com:8080",
            ),
            (
                "https://example.com",
                "https://.example.com",
                "https://evilexample.com",
                "https://a.example.com.evil.example",
                "http://a.example.com",
                "https://a.example.com:8443",
                "http://x.dev.example.com",
                "null",
            ),
        )

    def test_subdomain(self) -> None:
        """What stands for the asterisk is a host name: nothing hides in it."""
        self.judge(
            OriginRule(["https://*.example.com"]),
            ("https://a-1.b_2.example.com", "https://xn--e1afmkfd.example.com"),
            (
                "https://evil.example/x.example.com",
                "https://evil.example#.example.com",
                "https://evil.example:443@a.example.com",
                "https://evil.example, https://a.example.com",
                "https://evil.example\\.example.com",
            ),
        )

    def test_same_host(self) -> None:
        """A page from the host that was asked passes, whatever port its scheme implies."""
        rule = OriginRule(["https://app.example.com"])
        for origin, host in (
            ("https://gw.example.net", "gw.example.net"),
            ("https://gw.example.net", "gw.example.net:443"),
            ("https://gw.example.net:443", "GW.example.net"),
            ("http://gw.example.net:8180", "gw.example.net:8180"),
            ("http://[::1]:8180", "[::1]:8180"),
        ):
            self.assertTrue(rule.allows(origin, host), (origin, host))
        for origin, other in (
            ("https://gw.example.net", "gw.example.net:8443"),
            ("http://gw.example.net:8180", "gw.example.net"),
            ("https://evil.example", "gw.example.net"),
            ("https://gw.example.net", None),
            ("null", "null"),
            ("", ""),
        ):
            self.assertFalse(rule.allows(origin, other), (origin, other))
