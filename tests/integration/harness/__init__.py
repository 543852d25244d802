"""Drives the real daemon over real sockets, the way a user does.

| module | what |
|---|---|
| `canary` | secrets that must show up nowhere |
| `keys`, `tokens` | signing keys, made once a run, and tokens signed with them |
| `daemon` | `twistd ws-gateway` as a process, its log and its metrics |
| `rawclient` | a client that sends exactly these bytes |
| `receiver` | a webhook target that answers as it is told |
| `case` | the test case that ties them together |
"""
