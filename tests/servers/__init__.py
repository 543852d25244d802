"""Real brokers for tests and benches: each on a free port, with a data directory of its own.

| module | what |
|---|---|
| `process` | a server as a process that can be killed, frozen and brought back at the same place |
| `redis` | `redis-server`, and one as a sentinel beside it |
| `rabbitmq` | `rabbitmq-server` with its tool |
| `shared` | one of each for all tests of a run that do not kill it |

A server that was started is ended by `stop()`, and with the process that started it.
"""
