"""Very many connections of every kind against the real daemon, and what is left of them: nothing.

| module | what |
|---|---|
| `crowd` | drives many sockets by scripts, one thread and one epoll |
| `lives` | the scripts: how a connection can come and go, and what has to be counted for it |
| `books` | what the daemon counted, said and kept in a round, held against what was lived |
| `without_collection` | the daemon without garbage collection, and a look at what one would have found |

`ENDURANCE_CONNECTIONS` says how many; without it a part that fits into every run.
"""
