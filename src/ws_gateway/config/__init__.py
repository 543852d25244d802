"""The settings: declared once (`tree`), read from a mapping (`load`), written down for people (`render`)."""

from ws_gateway.config.load import load
from ws_gateway.config.tree import Settings

__all__ = ["Settings", "load"]
