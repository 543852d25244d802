"""Fuzzers for what strangers send: request heads, client texts, publications.

    python -m tests.fuzz --seconds 3600               every target, side by side
    python -m tests.fuzz --seconds 60 heads           one of them
    python -m tests.fuzz --reproduce .fuzz/crashes/heads-0123456789ab

atheris (coverage-guided) drives them where it is installed, else hypothesis. Both begin with the seeds in
`corpus/`; what atheris finds worth keeping is kept in `.fuzz/corpus/` for the next time. An input that finds
something is shrunk and written to `.fuzz/crashes/`, and told with the line that reproduces it.

| target | is fed | and must |
|---|---|---|
| `heads` | the bytes of a connection, to the front door | answer or hand on the same, wherever they are cut |
| `clients` | the payload of a frame | embed it so that a strict parser reads back what was sent |
| `publications` | the body of a publish call | refuse it by name, or take its payload out to the digit |
"""
