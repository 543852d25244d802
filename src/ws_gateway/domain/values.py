"""How values are declared that are made for each message.

    @often
    class Envelope: ..

They are frozen like all values, but only the type checker sees to it: at run time freezing costs each of them
half a microsecond and more, three times what it costs to make one, and a message is made of several.
"""

from typing import TYPE_CHECKING

__all__ = ["often"]

if TYPE_CHECKING:
    from attrs import frozen as often
else:
    from attrs import define

    often = define(unsafe_hash=True)
