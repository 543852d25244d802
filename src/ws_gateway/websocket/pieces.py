"""The pieces of a message that still arrives.

Autobahn keeps one object for each piece. A client that sends a message in frames of one byte, or in empty
ones, which count nothing towards the size of the message, would make us keep fifty or eight bytes for each
frame, for as long as it likes. Here empty pieces are not kept, and many become one.
"""

from collections.abc import MutableSequence

__all__ = ["FEW", "gather"]

FEW = 16
"""Pieces that are kept as they came: most messages have no more, and are never copied on the way."""


def gather(pieces: MutableSequence[bytes | bytearray], piece: bytes | bytearray) -> None:
    """Add a piece to the end.

    :param pieces: whose order and whole content stay; the first may become a bytearray, which grows in place.
    """
    if not piece:
        return
    pieces.append(piece)
    if len(pieces) > FEW:
        whole = pieces[0]
        if not isinstance(whole, bytearray):
            whole = bytearray(whole)
        for other in pieces[1:]:
            whole += other
        pieces[:] = [whole]
