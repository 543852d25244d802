"""Verified fakes and the contract suites that prove them; for our tests and for yours."""
