"""Reads and runs the SCL in deploy/plc: enough of the language for these sources, on memory laid out as an S7 does.

Stricter than TIA Portal where it differs: operands and assignments must be of one type, conversions must be written.
It proves layout and logic; it is no compiler, and accepts nothing about a CPU's speed or an instruction's options.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FORMATS = {
    "BOOL": "?",
    "BYTE": "B",
    "USINT": "B",
    "WORD": "H",
    "UINT": "H",
    "INT": "h",
    "DWORD": "I",
    "UDINT": "I",
    "DINT": "i",
    "REAL": "f",
    "LREAL": "d",
}
_TOKEN = re.compile(
    r"""\s+|//[^\n]*|(?P<number>16\#[0-9A-Fa-f_]+|\d+\.\d+|\d+)|(?P<quoted>"[^"]*"|'[^']*')
    |(?P<word>\#?[A-Za-z_]\w*)|(?P<mark>:=|=>|<=|>=|<>|\.\.|[][(){};:,.=<>*+-])""",
    re.VERBOSE,
)
_LOOSER = (("OR",), ("XOR",), ("AND",), ("=", "<>"), ("<", ">", "<=", ">="), ("+", "-"), ("*", "MOD"))

Value = tuple[str | None, Any]
"""Type and value; a literal has no type of its own."""


def _even(at: int) -> int:
    return at + at % 2


@dataclass(frozen=True)
class Scalar:
    """A basic type."""

    name: str

    @property
    def size(self) -> int:
        return struct.calcsize(">" + _FORMATS[self.name])


@dataclass(frozen=True)
class Array:
    """ARRAY[low..high] OF of."""

    low: int
    high: int
    of: Type

    @property
    def size(self) -> int:
        return _even((self.high - self.low + 1) * self.of.size)


@dataclass
class Struct:
    """Variables in memory without optimisation: bits and bytes packed, everything else from an even byte on."""

    places: dict[str, tuple[int, int, Type]] = field(default_factory=dict)
    bits: int = 0

    def add(self, name: str, kind: Type, over: str = "") -> None:
        if over:
            at, _, base = self.places[over]
            assert kind.size <= base.size, f"{name} is larger than {over}"
            self.places[name] = (at, 0, kind)
            return
        assert name not in self.places, f"{name} is declared twice"
        if kind == Scalar("BOOL"):
            self.places[name] = (self.bits // 8, self.bits % 8, kind)
            self.bits += 1
            return
        at = (self.bits + 7) // 8
        at = at if isinstance(kind, Scalar) and kind.size == 1 else _even(at)
        self.places[name] = (at, 0, kind)
        self.bits = (at + kind.size) * 8

    @property
    def size(self) -> int:
        return _even((self.bits + 7) // 8)


Type = Scalar | Array | Struct

DTL = Struct()
for _name, _type in (
    ("YEAR", "UINT"),
    *((each, "USINT") for each in ("MONTH", "DAY", "WEEKDAY", "HOUR", "MINUTE", "SECOND")),
    ("NANOSECOND", "UDINT"),
):
    DTL.add(_name, Scalar(_type))


@dataclass
class Place:
    """A variable of a type at a byte (and bit) of some memory."""

    memory: bytearray
    at: int
    bit: int
    kind: Type

    def member(self, name: str) -> Place:
        assert isinstance(self.kind, Struct)
        at, bit, kind = self.kind.places[name]
        return Place(self.memory, self.at + at, bit, kind)

    def element(self, index: int) -> Place:
        assert isinstance(self.kind, Array)
        assert self.kind.low <= index <= self.kind.high, f"index {index} is outside the array"
        return Place(self.memory, self.at + (index - self.kind.low) * self.kind.of.size, 0, self.kind.of)

    def read(self) -> Value:
        if not isinstance(self.kind, Scalar):
            return _type_name(self.kind), bytes(self.memory[self.at : self.at + self.kind.size])
        if self.kind.name == "BOOL":
            return "BOOL", bool(self.memory[self.at] >> self.bit & 1)
        return self.kind.name, struct.unpack_from(">" + _FORMATS[self.kind.name], self.memory, self.at)[0]

    def write(self, value: Value) -> None:
        kind, content = value
        assert kind in (None, _type_name(self.kind)), f"{kind} assigned to {_type_name(self.kind)}"
        if not isinstance(self.kind, Scalar):
            self.memory[self.at : self.at + self.kind.size] = content
        elif self.kind.name == "BOOL":
            self.memory[self.at] = self.memory[self.at] & ~(1 << self.bit) | (bool(content) << self.bit)
        else:
            fitting = _wrapped(self.kind.name, content)
            assert kind is not None or fitting == content, f"{content} is no {self.kind.name}"
            struct.pack_into(">" + _FORMATS[self.kind.name], self.memory, self.at, fitting)


@dataclass
class Frame:
    """One running call: where its variables are."""

    variables: dict[str, Place]
    source: Source


class _Exit(Exception):  # noqa: N818 -- a jump, no error
    pass


class _Return(Exception):  # noqa: N818 -- a jump, no error
    pass


Evaluate = Callable[[Frame], Value]
Run = Callable[[Frame], None]


@dataclass
class Block:
    """A function or function block: its kept and its temporary variables, and what it does."""

    returns: Type | None
    kept: Struct = field(default_factory=Struct)
    temporary: Struct = field(default_factory=Struct)
    sections: dict[str, list[str]] = field(default_factory=dict)
    constants: dict[str, Value] = field(default_factory=dict)
    body: list[Run] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)


class Source:
    """All files of a folder, parsed. `builtins` are instructions of the CPU, or blocks replaced by the test."""

    def __init__(self, *files: Path) -> None:
        self.types: dict[str, Struct] = {"DTL": DTL}
        self.blocks: dict[str, Block] = {}
        self.data: dict[str, Place] = {}
        self.attributes: dict[str, dict[str, str]] = {}
        self.builtins: dict[str, Callable[..., Value]] = {}
        for file in files:
            _Parser(self, file.read_text()).units()

    def call(self, name: str, **given: Any) -> Value:
        """Run a function: inputs by value, in-outs as Place."""
        block = self.blocks[name]
        kept = Place(bytearray(block.kept.size), 0, 0, block.kept)
        return self._run(name, block, kept, given)

    def cycle(self, instance: str, **inputs: Any) -> dict[str, Any]:
        """Call a function block's instance; its outputs."""
        place = self.data[instance]
        block = next(each for each in self.blocks.values() if each.kept is place.kind)
        self._run("", block, place, inputs)
        return {name: place.member(name).read()[1] for name in block.sections.get("VAR_OUTPUT", [])}

    def _run(self, name: str, block: Block, kept: Place, given: dict[str, Any]) -> Value:
        # What a real CPU leaves in temporary memory is anything; this makes a read before a write show.
        temporary = Place(bytearray(b"\xa5" * (block.temporary.size or 1)), 0, 0, block.temporary)
        variables = {each: kept.member(each) for each in block.kept.places}
        variables |= {each: temporary.member(each) for each in block.temporary.places}
        for each, (kind, content) in block.constants.items():
            assert kind is not None
            constant = Place(bytearray(8), 0, 0, Scalar(kind))
            constant.write((None, content))
            variables[each] = constant
        expected = block.sections.get("VAR_INPUT", []) + block.sections.get("VAR_IN_OUT", [])
        assert set(given) <= set(expected), f"no such parameter: {set(given) - set(expected)}"
        for each, content in given.items():
            if isinstance(content, Place):
                variables[each] = content
            else:
                variables[each].write(content if isinstance(content, tuple) else (None, content))
        if block.returns is not None:
            variables[name] = Place(bytearray(8), 0, 0, block.returns)
        frame = Frame(variables, self)
        try:
            for statement in block.body:
                statement(frame)
        except _Return:
            pass
        return variables[name].read() if block.returns is not None else (None, None)


class _Parser:
    def __init__(self, source: Source, text: str) -> None:
        self._source = source
        self._tokens: list[str] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            assert found is not None, f"cannot read: {text[at : at + 40]!r}"
            at = found.end()
            if found.lastgroup:
                self._tokens.append(found.group())
        self._at = 0

    def units(self) -> None:
        while self._at < len(self._tokens):
            unit = self._next()
            name = self._next().strip('"')
            {
                "TYPE": self._type_unit,
                "DATA_BLOCK": self._data_block,
                "FUNCTION": self._block,
                "FUNCTION_BLOCK": self._block,
            }[unit](name, f"END_{unit}")

    # Declarations.

    def _type_unit(self, name: str, end: str) -> None:
        self._head(name)
        self._expect("STRUCT")
        self._source.types[name] = self._fields(Struct(), "END_STRUCT")
        self._expect(";")
        self._expect(end)

    def _data_block(self, name: str, end: str) -> None:
        self._head(name)
        if self._peek() == "STRUCT":
            self._next()
            kind = self._fields(Struct(), "END_STRUCT")
            self._expect(";")
        else:
            kind = self._source.blocks[self._next().strip('"')].kept
        self._expect("BEGIN")
        self._expect(end)
        self._source.data[name] = Place(bytearray(kind.size), 0, 0, kind)

    def _block(self, name: str, end: str) -> None:
        returns = None
        if self._peek() == ":":
            self._next()
            returns = self._type()
        self._head(name)
        block = Block(returns, attributes=self._source.attributes[name])
        while self._peek().startswith("VAR"):
            section = self._next()
            if self._peek() == "CONSTANT":
                self._next()
                self._constants(block)
                continue
            target = block.temporary if section == "VAR_TEMP" else block.kept
            before = set(target.places)
            self._fields(target, "END_VAR")
            block.sections[section] = [each for each in target.places if each not in before]
        self._expect("BEGIN")
        block.body = self._statements(end)
        self._expect(end)
        self._source.blocks[name] = block

    def _head(self, name: str) -> None:
        found = self._source.attributes[name] = {}
        while self._peek() in {"{", "VERSION", "NON_RETAIN"}:
            word = self._next()
            if word == "{":
                key = self._next()
                self._expect(":=")
                found[key] = self._next().strip("'")
                self._expect("}")
            elif word == "VERSION":
                self._expect(":")
                self._next()

    def _fields(self, target: Struct, end: str) -> Struct:
        while self._peek() != end:
            name, over = self._next(), ""
            if self._peek() == "AT":
                self._next()
                over = self._next()
            self._expect(":")
            target.add(name, self._type(), over)
            self._expect(";")
        self._next()
        return target

    def _constants(self, block: Block) -> None:
        while self._peek() != "END_VAR":
            name = self._next()
            self._expect(":")
            kind = self._next().upper()
            self._expect(":=")
            block.constants[name] = (kind, _number(self._next()))
            self._expect(";")
        self._next()

    def _type(self) -> Type:
        word = self._next()
        if word.startswith('"') or word == "DTL":
            return self._source.types[word.strip('"')]
        if word.upper() != "ARRAY":
            return Scalar(word.upper())
        self._expect("[")
        low = int(self._next())
        self._expect("..")
        high = int(self._next())
        self._expect("]")
        self._expect("of")
        return Array(low, high, self._type())

    # Statements.

    def _statements(self, *ends: str) -> list[Run]:
        found = []
        while self._peek() not in ends:
            found.append(self._statement())
        return found

    def _statement(self) -> Run:
        word = self._peek()
        if word == "IF":
            return self._if()
        if word == "FOR":
            return self._for()
        if word in {"EXIT", "RETURN"}:
            self._next()
            self._expect(";")
            return _jump(_Exit if word == "EXIT" else _Return)
        target = self._reference()
        self._expect(":=")
        value = self._expression()
        self._expect(";")
        return lambda frame: target(frame).write(value(frame))

    def _if(self) -> Run:
        branches: list[tuple[Evaluate, list[Run]]] = []
        otherwise: list[Run] = []
        while (word := self._next()) in {"IF", "ELSIF"}:
            condition = self._expression()
            self._expect("THEN")
            branches.append((condition, self._statements("ELSIF", "ELSE", "END_IF")))
        if word == "ELSE":
            otherwise = self._statements("END_IF")
            word = self._next()
        assert word == "END_IF", word
        self._expect(";")

        def run(frame: Frame) -> None:
            chosen = next((body for condition, body in branches if _truth(condition(frame))), otherwise)
            for statement in chosen:
                statement(frame)

        return run

    def _for(self) -> Run:
        self._expect("FOR")
        target = self._reference()
        self._expect(":=")
        first = self._expression()
        self._expect("TO")
        last = self._expression()
        self._expect("DO")
        body = self._statements("END_FOR")
        self._expect("END_FOR")
        self._expect(";")

        def run(frame: Frame) -> None:
            for number in range(first(frame)[1], last(frame)[1] + 1):
                target(frame).write((None, number))
                try:
                    for statement in body:
                        statement(frame)
                except _Exit:
                    return

        return run

    # Expressions.

    def _expression(self, level: int = 0) -> Evaluate:
        if level == len(_LOOSER):
            return self._unary()
        left = self._expression(level + 1)
        while self._peek() in _LOOSER[level]:
            left = _binary(self._next(), left, self._expression(level + 1))
        return left

    def _unary(self) -> Evaluate:
        word = self._peek()
        if word == "NOT":
            self._next()
            inner = self._unary()
            return lambda frame: ("BOOL", not _truth(inner(frame)))
        if word == "-":
            self._next()
            number = _number(self._next())
            return lambda _: (None, -number)
        if word == "(":
            self._next()
            inner = self._expression()
            self._expect(")")
            return inner
        if word[0].isdigit() or word in {"TRUE", "FALSE"}:
            self._next()
            content = word == "TRUE" if word in {"TRUE", "FALSE"} else _number(word)
            return lambda _: (None, content)
        if word.startswith("#") or self._tokens[self._at + 1] != "(":
            reference = self._reference()
            return lambda frame: reference(frame).read()
        return self._call()

    def _call(self) -> Evaluate:
        name = self._next()
        self._expect("(")
        given: dict[str, tuple[Evaluate, Callable[[Frame], Place] | None]] = {}
        while self._peek() != ")":
            key = ""
            if self._tokens[self._at + 1] == ":=":
                key = self._next()
                self._next()
            start = self._at
            value, place = self._expression(), None
            if self._tokens[start].startswith("#"):
                end, self._at = self._at, start
                place = self._reference()
                place, self._at = (place if self._at == end else None), end
            given[key] = (value, place)
            if self._peek() == ",":
                self._next()
        self._expect(")")
        return lambda frame: _called(frame, name, given)

    def _reference(self) -> Callable[[Frame], Place]:
        word = self._next()
        if word.startswith("#"):
            name = word[1:]
            base: Callable[[Frame], Place] = lambda frame: frame.variables[name]  # noqa: E731
        else:
            name = word.strip('"')
            base = lambda frame: frame.source.data[name]  # noqa: E731
        while self._peek() in {".", "["}:
            if self._next() == ".":
                base = _member(base, self._next())
            else:
                base = _element(base, self._expression())
                self._expect("]")
        return base

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, word: str) -> None:
        found = self._next()
        assert found == word, f"{word!r} expected after {' '.join(self._tokens[max(0, self._at - 9) : self._at])!r}"


def _number(text: str) -> int | float:
    if text.startswith("16#"):
        return int(text[3:].replace("_", ""), 16)
    return float(text) if "." in text else int(text)


def _type_name(kind: Type) -> str:
    if isinstance(kind, Scalar):
        return kind.name
    return f"ARRAY OF {_type_name(kind.of)} x {kind.size}" if isinstance(kind, Array) else f"STRUCT {id(kind)}"


def _wrapped(kind: str, content: Any) -> Any:
    """The value that is left in a variable of this type."""
    if kind in {"REAL", "LREAL", "BOOL"}:
        return content
    code = _FORMATS[kind]
    bits = 8 * struct.calcsize(">" + code)
    content &= (1 << bits) - 1
    return content - (1 << bits) if code.islower() and content >> (bits - 1) else content


def _truth(value: Value) -> bool:
    assert value[0] in (None, "BOOL"), f"{value[0]} is no condition"
    return bool(value[1])


def _jump(kind: type[Exception]) -> Run:
    def run(_: Frame) -> None:
        raise kind

    return run


def _member(base: Callable[[Frame], Place], name: str) -> Callable[[Frame], Place]:
    return lambda frame: base(frame).member(name)


def _element(base: Callable[[Frame], Place], index: Evaluate) -> Callable[[Frame], Place]:
    return lambda frame: base(frame).element(index(frame)[1])


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "MOD": lambda a, b: a % b,
    "AND": lambda a, b: a & b,
    "OR": lambda a, b: a | b,
    "XOR": lambda a, b: a ^ b,
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


def _binary(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:
    work = _OPERATORS[operator]

    def evaluate(frame: Frame) -> Value:
        (one, a), (other, b) = left(frame), right(frame)
        kind = one or other
        assert None in (one, other) or one == other, f"{one} {operator} {other}"
        if operator in {"AND", "OR", "XOR"}:
            assert kind in {"BOOL", "BYTE", "WORD", "DWORD"}, f"{operator} of {kind}"
        elif operator not in {"=", "<>"}:
            assert kind not in {"BOOL", "BYTE", "WORD", "DWORD"}, f"{operator} of {kind}"
        found = work(a, b)
        if operator in {"=", "<>", "<", ">", "<=", ">="}:
            return "BOOL", found
        return kind, _wrapped(kind, found) if kind else found

    return evaluate


def _called(frame: Frame, name: str, given: dict[str, tuple[Evaluate, Callable[[Frame], Place] | None]]) -> Value:
    values = {key: value(frame) for key, (value, _) in given.items()}
    if name in frame.source.builtins:
        places = {key: place(frame) if place else values[key] for key, (_, place) in given.items()}
        return frame.source.builtins[name](**places) if "" not in places else frame.source.builtins[name](places[""])
    if name.startswith('"'):
        block = frame.source.blocks[name.strip('"')]
        inouts = block.sections.get("VAR_IN_OUT", [])
        arguments: dict[str, Any] = {
            key: place(frame) if key in inouts and place else values[key] for key, (_, place) in given.items()
        }
        return frame.source.call(name.strip('"'), **arguments)
    if name in {"SHL", "SHR", "ROR"}:
        kind, content = values["IN"]
        count = values["N"][1]
        assert kind in {"WORD", "DWORD"}, f"{name} of {kind}"
        bits = {"WORD": 16, "DWORD": 32}[kind]
        turned = content << count if name == "SHL" else content >> count
        if name == "ROR":
            turned |= content << (bits - count)
        return kind, _wrapped(kind, turned)
    source, _, target = name.partition("_TO_")
    kind, content = values[""]
    assert kind == source, f"{name} of {kind}"
    assert target in _FORMATS, f"{name} is not known"
    if source == "LREAL" and target != "REAL":
        content = round(content)  # to the nearest, as the CPU converts
        assert content == _wrapped(target, content), f"{content} is no {target}"
    return target, _wrapped(target, content)
