"""Where a webhook's connections go, found out when one is made and not for each request.

`Agent` wants an endpoint for every request, and uses it for the few that need a new connection. To make one
it encodes the host name (IDNA) and, for https, builds a TLS context with all authorities, which costs more
than the request itself. So what it gets here makes the real endpoint when it is to connect. Names are looked
up, and authorities read, at each connect as before.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.web.client import URI
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

__all__ = ["LateEndpoints"]


@implementer(IAgentEndpointFactory)
@frozen
class LateEndpoints:
    """Endpoints for `Agent.usingEndpointFactory`.

    :ivar reactor: IReactorTCP, IReactorTime and IReactorPluggableNameResolver.
    :ivar timeout: seconds for a connect.
    """

    _reactor: Any
    _tls_policy: IPolicyForHTTPS
    _timeout: float

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See IAgentEndpointFactory.

        :raises SchemeNotSupported: neither http nor https.
        """
        if uri.scheme not in (b"http", b"https"):
            raise SchemeNotSupported(f"unsupported scheme: {uri.scheme!r}")
        return _LateEndpoint(self, uri)

    def real(self, uri: URI) -> IStreamClientEndpoint:
        """The endpoint that connects."""
        endpoint: IStreamClientEndpoint = HostnameEndpoint(
            self._reactor, uri.host.decode("ascii"), uri.port, timeout=self._timeout
        )
        if uri.scheme == b"https":
            creator = self._tls_policy.creatorForNetloc(uri.host, uri.port)
            endpoint = wrapClientTLS(creator, endpoint)
        return endpoint


@implementer(IStreamClientEndpoint)
@frozen
class _LateEndpoint:
    """See the module."""

    _endpoints: LateEndpoints
    _uri: URI

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See IStreamClientEndpoint."""
        return self._endpoints.real(self._uri).connect(protocolFactory)
