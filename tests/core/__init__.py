"""Core mode: real gateways around real brokers, which are killed and come back.

| module | what |
|---|---|
| `brokers` | what a backend does with a broker: publish, look at what the gateway wrote |
| `case` | a test case with nodes around one broker |
"""
