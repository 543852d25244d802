"""The rules of the gateway: pure and synchronous. No sockets, no clocks, no loggers, no randomness."""
