"""Read a TOML file that a person has written. If it cannot be read, say why in plain words."""

from __future__ import annotations

import re
import tomllib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_inspector.errors import ConfigError, Fault

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_LONGEST = 80  # characters of a line that a message repeats
_LOOKED_AT = 500  # characters of a line that are searched for a mistake

_WORDS = {"true": ("true", "yes", "on"), "false": ("false", "no", "off")}
_SPELLED = {spelled: right for right, known in _WORDS.items() for spelled in known}

# Mistakes that people make in a TOML line, and what to type instead. The first match is reported.
_MISTAKES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    ("[\u2018-\u201f\u00ab\u00bb]", lambda _: "write plain quotes, \" or ', not typographic ones"),
    (r"=\s*([+-]?\d+),(\d+)\b", lambda found: f"write {found[1]}.{found[2]}, not {found[1]},{found[2]}"),
    (r"=\s*([+-]?)\.(\d+)", lambda found: f"write {found[1]}0.{found[2]}, with a digit before the point"),
    (r"=\s*([+-]?\d+)\.(?!\d)", lambda found: f"write {found[1]}.0, with a digit after the point"),
    (r"=\s*(?i:(true|false|yes|no|on|off))\b", lambda found: f"write {_SPELLED[found[1].lower()]}, not {found[1]}"),
    (r"=\s*(None|null|nil)\b", lambda found: f"leave the key out: {found[1]} is not a value"),
    (r"=\s*0+(\d+)\s*(?:[,}#]|$)", lambda found: f"write {found[1]}, without a zero before it"),
    (
        r"=\s*([+-]?\d+(?:\.\d+)?)\s*([^\W\d][\w/]*|%)",
        lambda found: f"write {found[1]} alone, without {found[2]}: the unit is in the key's name",
    ),
    (r"=\s*([^\W\d][\w./:-]*|[/~][^\s,}]*)\s*(?:[,}#]|$)", lambda found: f'write "{found[1]}", in quotes'),
    (r"^\s*([\w.-]+)\s*:\s*([^\s#].*?)\s*$", lambda found: f"write {found[1]} = {found[2]}, with = and not :"),
)


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    A byte order mark at its beginning, as Notepad writes it, is ignored. Raises ConfigError, also for a text with a
    NUL, which no path may have.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError([Fault(str(path), f"cannot be read: {error.strerror}")]) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([Fault(str(path), f"is not TOML: {_not_utf8(content, error)}")]) from error
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError([Fault(str(path), f"is not TOML: {_why(str(error), text)}")]) from error
    fault = _impossible(table)
    if fault is not None:
        raise ConfigError([Fault(f"{path}: {fault.where}", fault.what)])
    return table


def _not_utf8(content: bytes, error: UnicodeDecodeError) -> str:
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "it is saved as UTF-16. Save it as UTF-8"
    line = content.count(b"\n", 0, error.start) + 1
    return f"line {line} has a character that is not UTF-8. Save the file as UTF-8"


def _why(said: str, text: str) -> str:
    at = _AT_LINE.search(said)
    if at is None:
        return said
    number = int(at[1])
    line = text.split("\n")[number - 1][:_LOOKED_AT]
    said = said[: at.start()]
    hint = _hint(said, line)
    return f"line {number}: {hint or f'{said}: {line.strip()[:_LONGEST]}'}"


def _hint(said: str, line: str) -> str:
    if said.startswith(("Unescaped '\\'", "Invalid hex value")) and (quoted := re.search(r'"([^"]*\\[^"]*)"', line)):
        return _path_hint(quoted[1])
    for beginning, told in _COMPLAINTS.items():
        if said.startswith(beginning):
            return told(line)
    for pattern, advise in _MISTAKES:
        found = re.search(pattern, line)
        if found is not None:
            return advise(found)
    if said.startswith("Expected '=' after a key"):
        return "write key = value. A key has the letters A-Z a-z, digits, _ and - only"
    return ""


def _twice(line: str) -> str:
    name = line.strip().strip("[] ")
    return f"[{name}] is there twice: write it once. If several are allowed, write [[{name}]] each time"


def _again(line: str) -> str:
    return _twice(line) if line.startswith("[") else f"{line.partition('=')[0].strip()} is there twice: remove one"


# Messages of the TOML parser that are enough to know what to type.
_COMPLAINTS: dict[str, Callable[[str], str]] = {
    "Cannot declare": _twice,
    "Cannot overwrite": _again,
    "Invalid initial character for a key": lambda _: "write all that is between { and } in one line",
    "Illegal character '\\n'": lambda _: "a quote is missing at the end",
    "Expected ']' at the end of a table": lambda _: "a ] is missing at the end",
}


def _path_hint(written: str) -> str:
    forward = re.sub(r"\\+", "/", written)
    return f"write \"{forward}\", or '{written}' in single quotes"


def _impossible(part: Any, where: str = "") -> Fault | None:
    """The first text with a character that makes no sense.

    It is a NUL, or the result of an escape in a Windows path.
    """
    if isinstance(part, str):
        if "\0" in part:
            return Fault(where, "has a NUL character in it")
        if re.match(r"[A-Za-z]:[\b\t\n\f\r]", part):
            meant = part.encode("unicode_escape").decode()
            return Fault(where, f"is not a path, because a backslash in double quotes is not kept: {_path_hint(meant)}")
        return None
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    found = (
        _impossible(key, f"{where}.") or _impossible(value, f"{where}.{key}".removeprefix(".")) for key, value in items
    )
    return next(filter(None, found), None)
