"""Checks a camera's description, GenICam's XML, before a library follows it.

The description says from which other nodes each node gets its value. A library follows these references recursively and
without a limit. A node that leads back to itself would end the whole process. Therefore such a description is refused
here with a message.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from edge_inspector.errors import DeviceError

_SIZE_MAX: Final = 1 << 25
_NESTED_MAX: Final = 256
_STEPS_MAX: Final = 200  # from a node down to one that needs no other. Real descriptions need ten
_READS_MAX: Final = 100_000  # reads of other nodes for the value of one node
_LENGTH_MAX: Final = 1 << 26  # of a register
# Elements from which a value is computed. Other references may lead back: a limit or a selector may name a node that
# names it.
_FOLLOWED: Final = {
    "pAddress",
    "pChunkID",
    "pCommandValue",
    "pEventID",
    "pIndex",
    "pLength",
    "pPort",
    "pValue",
    "pValueDefault",
    "pValueIndexed",
    "pVariable",
}
_END: Final = b"</RegisterDescription>"
_good: set[bytes] = set()  # hashes of accepted descriptions, so that a camera that comes back is not checked again


def examine(xml: bytes) -> None:
    """Check a description. Raises DeviceError if it is damaged, has circles, or has too long chains."""
    if len(xml) > _SIZE_MAX:
        raise DeviceError(f"its GenICam description has {len(xml)} bytes, more than {_SIZE_MAX}")
    key = hashlib.sha256(xml).digest()
    if key in _good:
        return
    description = _Description()
    # Some cameras also send the memory behind the description.
    content, end, _ = xml.rpartition(_END)
    description.read(content + end if end else xml)
    description.check_lengths()
    _follow(description.leads_to)
    if len(_good) < 100:
        _good.add(key)


class _Description:
    """For each node, the names of the nodes that its value comes from."""

    def __init__(self) -> None:
        self.leads_to: dict[str, set[str]] = defaultdict(set)
        self._open: list[tuple[str, str]] = []  # element and name of its node, empty if it has none
        self._numbers: dict[str, str] = {}  # values of integer nodes
        self._others: set[str] = set()  # nodes that are not integers
        self._lengths: set[str] = set()  # of registers, as written in the description
        self._measures: set[str] = set()  # nodes whose value is the length of a register
        self._text: list[str] = []

    def read(self, xml: bytes) -> None:
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        try:
            parser.Parse(xml, True)  # noqa: FBT003 -- expat's signature
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise DeviceError(f"its GenICam description is damaged: {error}") from error

    def check_lengths(self) -> None:
        plain = self._numbers.keys() - self._others - self.leads_to.keys()
        computed = sorted(self._measures - plain)
        if computed:
            # Nobody can know a computed length beforehand, and a library allocates that much memory.
            raise DeviceError(f"its GenICam description has a register as long as {computed[0][:64]!r} computes")
        for text in self._lengths | {self._numbers[name] for name in self._measures}:
            if not 0 < _whole(text) <= _LENGTH_MAX:
                raise DeviceError(f"its GenICam description has a register of {text[:20]!r} bytes")

    def _refuse_doctype(self, *_: object) -> None:
        raise DeviceError("its GenICam description has entities of its own, which no camera needs")

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= _NESTED_MAX:
            raise DeviceError(f"its GenICam description is nested more than {_NESTED_MAX} deep")
        name = "" if element in _FOLLOWED else attributes.get("Name", "")
        if name:
            for _, outer in self._open:
                if outer:
                    self.leads_to[outer].add(name)
            if element != "Integer":
                self._others.add(name)
        self._open.append((element, name))
        self._text.clear()

    def _end(self, element: str) -> None:
        self._open.pop()
        text = "".join(self._text).strip()
        if element in _FOLLOWED:
            for _, name in self._open:
                if name:
                    self.leads_to[name].add(text)
        if element == "pLength":
            self._measures.add(text)
        elif element == "Length":
            self._lengths.add(text)
        elif element == "Value" and self._open and self._open[-1][0] == "Integer":
            self._numbers[self._open[-1][1]] = text


def _whole(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return 0


def _follow(leads_to: dict[str, set[str]]) -> None:
    """Follow all references without recursion. Raises DeviceError for a circle, and for a chain that is too long."""
    steps: dict[str, int] = {}
    reads: dict[str, int] = {}
    for first in list(leads_to):
        way: list[tuple[str, Iterator[str]]] = [] if first in steps else [(first, iter(leads_to[first]))]
        on_way = {first}
        while way:
            name, others = way[-1]
            other = next((each for each in others if each not in steps), None)
            if other is None:
                way.pop()
                on_way.discard(name)
                found = leads_to.get(name, ())
                steps[name] = 1 + max((steps[each] for each in found), default=0)
                reads[name] = 1 + sum(reads[each] for each in found)
                if steps[name] > _STEPS_MAX or reads[name] > _READS_MAX:
                    raise DeviceError(f"its GenICam description leads too far from {name[:64]!r}")
            elif other in on_way:
                raise DeviceError(f"its GenICam description leads in a circle: {other[:64]!r} needs itself")
            else:
                way.append((other, iter(leads_to.get(other, ()))))
                on_way.add(other)
