"""Whose address a request comes from."""

from ipaddress import ip_network

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.addresses import Network, client_address, subscriber

PROXIES: tuple[Network, ...] = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "192.0.2.7/32", "2001:db8:ffff::/48")
)


class ClientAddressTests(SynchronousTestCase):
    def test_nobody_trusted(self) -> None:
        """Without trusted proxies the header is worth nothing."""
        self.assertEqual(client_address("10.0.0.1", ["203.0.113.9"], ()), "10.0.0.1")
        self.assertIsNone(client_address(None, ["203.0.113.9"], ()))

    def test_stranger(self) -> None:
        """A peer that is no trusted proxy speaks for itself only."""
        self.assertEqual(client_address("198.51.100.1", ["203.0.113.9"], PROXIES), "198.51.100.1")
        self.assertEqual(client_address("no address", ["203.0.113.9"], PROXIES), "no address")

    def test_right_most(self) -> None:
        """Behind proxies the right-most entry that is none of them counts; left of it anything may stand."""
        for lines in (
            ["203.0.113.9"],
            ["1.1.1.1, 203.0.113.9"],
            ["1.1.1.1,203.0.113.9 ,\t10.9.9.9"],
            ["1.1.1.1", "203.0.113.9, 192.0.2.7", "10.0.0.3"],
            ["nonsense, 203.0.113.9, 2001:db8:ffff::1"],
            ["203.0.113.9, , ", ""],
        ):
            self.assertEqual(client_address("10.0.0.1", lines, PROXIES), "203.0.113.9", lines)

    def test_all_trusted(self) -> None:
        """Where every entry is a proxy, or none is there, it is the peer."""
        for lines in ([], [""], ["10.0.0.2, 192.0.2.7"]):
            self.assertEqual(client_address("10.0.0.1", lines, PROXIES), "10.0.0.1", lines)

    def test_nonsense(self) -> None:
        """From an entry that is no address leftwards nobody is believed."""
        for hop in ("unknown", "_hidden", "1.2.3", "1.2.3.4.5", "<script>", "1.2.3.4:x:y", "[", "::1::"):
            self.assertEqual(client_address("10.0.0.1", [f"203.0.113.9, {hop}"], PROXIES), "10.0.0.1", hop)
            self.assertEqual(client_address("10.0.0.1", [f"{hop}, 203.0.113.9"], PROXIES), "203.0.113.9", hop)

    def test_forms(self) -> None:
        """Ports and brackets are taken off."""
        for hop, address in {
            "203.0.113.9:5123": "203.0.113.9",
            "[2001:db8::9]:5123": "2001:db8::9",
            "[2001:db8::9]": "2001:db8::9",
            "2001:DB8::9": "2001:db8::9",
            "10.0.0.5:99, 203.0.113.9": "203.0.113.9",
            "203.0.113.9, 10.0.0.5:99": "203.0.113.9",
        }.items():
            self.assertEqual(client_address("10.0.0.1", [hop], PROXIES), address, hop)

    def test_mapped(self) -> None:
        """A dual-stack socket shows an IPv4 proxy in its IPv6 form; it is trusted all the same."""
        self.assertEqual(client_address("::ffff:10.0.0.1", ["203.0.113.9"], PROXIES), "203.0.113.9")
        self.assertEqual(client_address("::ffff:11.0.0.1", ["203.0.113.9"], PROXIES), "::ffff:11.0.0.1")

    def test_zone(self) -> None:
        """A link-local peer has a zone, which is no part of the network."""
        local: tuple[Network, ...] = (ip_network("fe80::/10"),)
        self.assertEqual(client_address("fe80::1%eth0", ["203.0.113.9"], local), "203.0.113.9")

    def test_unix_socket(self) -> None:
        """A local peer without an address is trusted like a proxy, if any proxy is."""
        self.assertEqual(client_address(None, ["203.0.113.9"], PROXIES), "203.0.113.9")
        self.assertIsNone(client_address(None, [], PROXIES))


class SubscriberTests(SynchronousTestCase):
    def test_ipv4(self) -> None:
        """Each IPv4 address is somebody else, in both of its forms."""
        self.assertEqual(subscriber("192.0.2.7"), "192.0.2.7")
        self.assertEqual(subscriber("::ffff:192.0.2.7"), "192.0.2.7")
        self.assertEqual(subscriber("::FFFF:c000:207"), "192.0.2.7")

    def test_ipv6(self) -> None:
        """The addresses of a /64 are one subscriber's, however they are written, zones or not."""
        self.assertEqual(subscriber("2001:db8::1"), subscriber("2001:0DB8:0:0:ffff:ffff:ffff:ffff"))
        self.assertEqual(subscriber("fe80::1%eth0"), subscriber("fe80::2%1"))
        self.assertNotEqual(subscriber("2001:db8::1"), subscriber("2001:db8:0:1::1"))
        self.assertNotEqual(subscriber("::1"), subscriber("1::1"))
