"""Memory for pictures that is used again when nobody refers to it any more."""

from __future__ import annotations

import sys
from typing import Final

import numpy as np

from edge_inspector.records import Image

_UNHELD: Final = 2  # references: one of the list, and one of the call that counts them


class Memory:
    """Keeps at most `at_most` pieces for reuse. Further ones are ordinary memory.

    New memory costs a page fault for every 4 KiB. A view of an array, however small, refers to the array itself. So a
    piece without other references holds no picture in use.
    """

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._known: list[Image] = []

    def take(self, size: int) -> Image:
        """This many bytes. They belong to everyone who refers to them or to a view of them."""
        for at in range(len(self._known)):
            if sys.getrefcount(self._known[at]) <= _UNHELD:
                if self._known[at].size != size:
                    self._known[at] = np.empty(size, np.uint8)
                return self._known[at]
        memory = np.empty(size, np.uint8)
        if len(self._known) < self._at_most:
            self._known.append(memory)
        return memory
