"""Whose address a request comes from, when proxies stand in between (setting `TRUSTED_PROXIES`)."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

__all__ = ["Network", "client_address", "subscriber"]

Network = IPv4Network | IPv6Network


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str | None:
    """The right-most address that is not a trusted proxy's.

    :param peer: the address of the socket's other end; None for `unix:` sockets, whose peers are local and so
        as trustworthy as a proxy, if any proxy is trusted at all.
    :param forwarded_for: the lines of `X-Forwarded-For`.
    """
    if not trusted or not (peer is None or _is_in(peer, trusted)):
        return peer
    hops = [hop.strip() for line in forwarded_for for hop in line.split(",")]
    for hop in reversed([hop for hop in hops if hop]):  # empty elements do not count (RFC 9110 5.6.1)
        address = _bare(hop)
        if address is None:
            return peer  # nonsense from here on leftwards: believe nobody beyond it
        if not _is_in(address, trusted):
            return address
    return peer


def subscriber(address: str) -> str | bytes:
    """What one subscriber of a network has for sure: an IPv4 address, or the /64 of an IPv6 address.

    Whoever has one IPv6 address has 2 ** 64 of them, so counting them singly would count nothing.

    :returns: the same for addresses of the same subscriber; good for nothing but comparing.
    """
    if ":" not in address:
        return address
    parsed = IPv6Address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped
    return parsed.packed[:8] if mapped is None else str(mapped)


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any(parsed in network or (mapped is not None and mapped in network) for network in networks)


def _bare(hop: str) -> str | None:
    """The address without a port: `1.2.3.4:5`, `[::1]:5` and plain forms; None if it is no address."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ip_address(hop))
    except ValueError:
        return None
