"""Measurements of the gateway beside something that is known. `bench/README.md` explains them."""
