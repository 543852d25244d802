"""The status page at `/internal/console`: what the node is doing, for the people who run it.

| path | what |
|---|---|
| `/internal/console` | the page, and its files below |
| `/internal/console/overview` | the figures of this moment |
| `/internal/console/who?q=` | the connections of a user or a subject |
| `/internal/console/connections/{id}` | why one connection is here, and its last events |
| `POST /internal/console/ticket` | a ticket for the feed: 256 random bits, good once, for half a minute |
| `/internal/console/feed` | a WebSocket that brings the figures once a second |

**The feed** is a WebSocket of the gateway's own kind (same entrance, same protocol, same writer), but it
lives in a house of its own: another registry, so that no console shows up among users' connections and no
publication reaches it; an emitter that tells nobody, so that the backend never hears of it; a client queue
of a few frames. A token of a user opens nothing there, and a ticket opens nothing anywhere else. It is
served beside the page, on the internal port where there is one, so there is no second address to configure.
While the socket is away the page asks for the figures every two seconds.

**The key** opens the page as it opens all of `/internal`; in a browser by its login dialog (HTTP Basic, any
user, the key as password), so it stands in no page, no address and no storage. What a browser adds by
itself, a foreign page can make it send; see `same_site` for why that changes nothing. The page shows what
others wrote as text only and may load nothing but its own files.
"""
