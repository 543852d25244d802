"""What a browser adds by itself changes nothing for foreign pages."""

from base64 import b64encode

from tests.unit.web.harness import KEY, Gateway, WebTestCase, view

LOGIN = "Authorization: Basic " + b64encode(f"operator:{KEY}".encode()).decode()
PATH = "/internal/users/42/disconnect"


class SameSiteTests(WebTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway([view("c1")])

    def status(self, *headers: str, method: str = "POST", path: str = PATH, key: str | None = None) -> int:
        return self.gateway.ask(method, path, key=key, headers=headers).status

    def test_foreign_pages(self) -> None:
        """A login of the browser does nothing for a page of another site, however that asks."""
        for line in (
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: same-site",
            "Sec-Fetch-Site: Cross-Site",
            "Origin: https://evil.example",
            "Origin: http://gateway.evil.example",
            "Origin: http://gateway:81",
            "Origin: null",
            "Origin: http://gateway\r\nOrigin: http://evil.example",
        ):
            self.assertEqual((line, self.status(LOGIN, line)), (line, 403))
        self.assertEqual(self.gateway.directory.kicked, [])

    def test_no_way_around(self) -> None:
        """Neither a wrong key in a header nor a browser that says two things opens it."""
        self.assertEqual(self.status(LOGIN, "X-Api-Key: wrong", "Origin: https://evil.example"), 403)
        self.assertEqual(self.status(LOGIN, "Sec-Fetch-Site: cross-site", "Origin: http://gateway"), 403)
        self.assertEqual(self.status(LOGIN, "Origin: https://evil.example", path="/internal/publish"), 403)
        self.assertEqual(self.status(LOGIN, "Origin: https://evil.example", method="DELETE"), 403)
        self.assertEqual(self.gateway.directory.kicked, [])

    def test_own_pages(self) -> None:
        """A page of the same host may act, and so may the person behind the browser."""
        for line in (
            "Sec-Fetch-Site: same-origin",
            "Sec-Fetch-Site: none",
            "Origin: http://gateway",
            "Origin: http://gateway:80",
        ):
            self.assertEqual((line, self.status(LOGIN, line)), (line, 200))

    def test_backends(self) -> None:
        """A backend that logs in with Basic sends no such header, and is served as ever."""
        self.assertEqual(self.status(LOGIN), 200)

    def test_keys_on_purpose(self) -> None:
        """Whoever puts the key into a header knows it, wherever the request comes from."""
        foreign = "Origin: https://app.example"
        self.assertEqual(self.status(foreign, key=KEY), 200)
        self.assertEqual(self.status(foreign, f"Authorization: Bearer {KEY}"), 200)
        self.assertEqual(self.status(foreign, LOGIN, key=KEY), 200)

    def test_looking(self) -> None:
        """A link on another site may lead here: looking changes nothing."""
        for method in ("GET", "HEAD"):
            status = self.status(LOGIN, "Sec-Fetch-Site: cross-site", method=method, path="/internal/console")
            self.assertEqual(status, 200)

    def test_wrong_login(self) -> None:
        """Who has no key is told of the key, not of pages."""
        wrong = "Authorization: Basic " + b64encode(b"operator:wrong").decode()
        self.assertEqual(self.status(wrong, "Origin: https://evil.example"), 401)
