"""Messages about mistakes in the files of users. Each message says what to type."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticUserError

from edge_inspector.errors import Fault

_NUMBER = re.compile(r"\s*([+-]?\d+)(?:[.,](\d+))?\s*(\S*)\s*")
_UNITS = frozenset({"ns", "us", "ms", "s", "min", "hours", "days", "mm", "m", "px", "mb", "bytes", "ppm"})

_ALIKE = 0.7  # of 1: "port" is not meant by "transport"

_IN_WORDS = "patternErrorMessage"  # editors that read JSON Schema show it too

_Schema = Mapping[str, Any]


def in_words(what: str) -> dict[str, Any]:
    """The `json_schema_extra` of a field with a pattern: the end of the message "must be ..."."""
    return {_IN_WORDS: what}


def closest(name: str, known: Iterable[str]) -> str | None:
    """The `known` name that is most similar to `name`, ignoring case. None if none is similar.

    The beginning of a known name means that name: `exposure` means `exposure_us`.
    """
    by_small = {each.lower(): each for each in known}
    found = [each for each in by_small if each.startswith(f"{name.lower()}_")]
    found = found or get_close_matches(name.lower(), by_small, 1, _ALIKE)
    return by_small[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The question "did you mean ...?" for the end of a message. Empty if no `known` name is similar."""
    meant = closest(name, known)
    return f". Did you mean {meant!r}?" if meant else ""


def faults_of(error: ValidationError, where: str, model: type[BaseModel] | None = None) -> list[Fault]:
    """All faults that pydantic found, each with its key path. `model` is the validated model, for its keys."""
    tables = _Tables(model)
    found = error.errors(include_url=False)
    unknown = {tuple(each["loc"]): each["input"] for each in found if each["type"] == "extra_forbidden"}
    missing = {tuple(each["loc"]) for each in found if each["type"] == "missing"}
    meant = _meant(unknown, missing, tables)
    faults = []
    for each in found:
        loc = tuple(each["loc"])
        if loc in missing and loc in meant.values():
            continue  # its name is there, but mistyped: one message is enough
        if loc in unknown:
            what = tables.unknown(loc, each["input"], meant.get(loc))
        elif loc in missing:
            what = tables.missing(loc)
        elif each["type"] == "value_error":
            said, value = each["msg"].removeprefix("Value error, "), each["input"]
            told = isinstance(value, str) and len(value) > 2 and value in said
            what = said if told else said + _given(value)
        else:
            what = tables.wrong(loc, each["input"]) or each["msg"] + _given(each["input"])
        faults.append(Fault(": ".join(filter(None, [where, ".".join(map(str, loc))])), what))
    return faults


_Loc = tuple[int | str, ...]


def _meant(unknown: Iterable[_Loc], missing: set[_Loc], tables: _Tables) -> dict[_Loc, _Loc]:
    """The intended key of each unknown key. Missing keys are preferred."""
    meant: dict[_Loc, _Loc] = {}
    for loc in unknown:
        beside = [str(each[-1]) for each in missing if each[:-1] == loc[:-1] and each not in meant.values()]
        key = closest(str(loc[-1]), beside) or closest(str(loc[-1]), tables.keys(loc[:-1]))
        if key is not None:
            meant[loc] = (*loc[:-1], key)
    return meant


class _Tables:
    """The tables of a model by key path, as its JSON Schema describes them."""

    def __init__(self, model: type[BaseModel] | None) -> None:
        self._root: _Schema = {}
        if model is not None:
            try:
                self._root = model.model_json_schema()
            except PydanticUserError:  # a third-party driver may have types that JSON does not have
                self._root = {}

    def keys(self, loc: _Loc) -> list[str]:
        """The keys of the table at `loc`."""
        return list(self._holder(self._at(loc), "").get("properties", {}))

    def unknown(self, loc: _Loc, value: object, meant: _Loc | None) -> str:
        """The message about an unknown key."""
        kind = "unknown table" if isinstance(value, dict) else "unknown key"
        if meant is not None:
            return f"{kind}. Did you mean {self._written(meant)}?{_unit_hint(str(loc[-1]), str(meant[-1]))}"
        keys = self.keys(loc[:-1])
        return f"{kind}. Keys here: {', '.join(sorted(keys))}" if keys else f"{kind}. Remove it"

    def missing(self, loc: _Loc) -> str:
        """The message about a missing key."""
        schema, written = self._at(loc), self._written(loc)
        if written.startswith("["):
            return f"is missing. Write {written}"
        if schema.get("type") == "string" and "enum" not in schema:
            return f'is missing. Write {written} = "..."'
        kind = _kind(schema, self)
        return f"is missing. Write {written} = ..." + (f", {kind}" if kind else "")

    def wrong(self, loc: _Loc, value: object) -> str:
        """The message about a wrong value. Empty if the schema does not explain it."""
        schema = self._at(loc)
        if schema.get("type") == "array" and isinstance(value, dict) and len(loc) == 1:
            return f"write [[{loc[0]}]], in two brackets: there may be several"
        if schema.get("type") == "object" and isinstance(value, list):
            return f"write [{'.'.join(map(str, loc))}], in one pair of brackets: there is only one"
        kind = _kind(schema, self)
        if isinstance(value, float) and not math.isfinite(value):
            kind += " and finite"
        return f"must be {kind}{_given(value)}{_value_hint(schema, value)}" if kind else ""

    def resolved(self, schema: _Schema) -> _Schema:
        """The schema behind a reference, or behind a type that may be left out."""
        if "$ref" in schema:
            return self.resolved(self._root["$defs"][schema["$ref"].rpartition("/")[2]])
        wanted = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
        return self.resolved(wanted[0]) if len(wanted) == 1 else schema

    def _written(self, loc: _Loc) -> str:
        schema = self._at(loc)
        key = ".".join(map(str, loc))
        if schema.get("type") == "object":
            return f"[{key}]"
        of = self.resolved(schema.get("items", {}))
        return f"[[{key}]]" if of.get("type") == "object" else str(loc[-1])

    def _at(self, loc: _Loc) -> _Schema:
        here = self.resolved(self._root)
        for key in loc:
            here = self.resolved(_step(self._holder(here, key), key))
        return here

    def _holder(self, schema: _Schema, key: int | str) -> _Schema:
        """Of several kinds of value, the one that can have this key: a list has numbers, a table has names."""
        kind = "array" if isinstance(key, int) else "object"
        kinds = [self.resolved(each) for each in schema.get("anyOf", ())]
        return next((each for each in kinds if each.get("type") == kind), schema)


def _step(schema: _Schema, key: int | str) -> _Schema:
    if isinstance(key, int):
        listed = schema.get("prefixItems", ())
        found = listed[key] if key < len(listed) else schema.get("items", {})
    else:
        found = schema.get("properties", {}).get(key, schema.get("additionalProperties", {}))
    return found if isinstance(found, dict) else {}


def _kind(schema: _Schema, tables: _Tables) -> str:
    """The allowed kind of value, as "a whole number from 1 to 65535". Empty if the schema does not say."""
    if "anyOf" in schema:
        kinds = [_kind(tables.resolved(each), tables) for each in schema["anyOf"]]
        return " or ".join(dict.fromkeys(filter(None, kinds)))
    if "enum" in schema or "const" in schema:
        return " or ".join(_toml(value) for value in schema.get("enum", [schema.get("const")]))
    name = str(schema.get("type", ""))
    if name in ("number", "integer"):
        return " ".join(filter(None, ["a number" if name == "number" else "a whole number", _range(schema)]))
    if name == "array":
        return f"a list{''.join(_length(schema, 'Items', 'entries'))}"
    if name == "string":
        # A pattern alone explains nothing to a person.
        plain = "" if "pattern" in schema else f"text in quotes{''.join(_length(schema, 'Length', 'characters'))}"
        return str(schema.get(_IN_WORDS, plain))
    return {"boolean": "true or false", "object": "a table"}.get(name, "")


def _range(schema: _Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f"from {least:.10g} to {most:.10g}"
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "of at most",
        "exclusiveMaximum": "below",
    }
    limits = [f"{word} {schema[key]}" for key, word in words.items() if key in schema]
    if "multipleOf" in schema:
        limits.append(f"a multiple of {schema['multipleOf']}")
    return " and ".join(limits)


def _length(schema: _Schema, of: str, what: str) -> Iterator[str]:
    least, most = schema.get(f"min{of}"), schema.get(f"max{of}")
    if least is not None and least == most:
        yield f" of {least} {what}"
    elif least == 1:
        yield ", and not empty"
    elif least:
        yield f" of at least {least} {what}"


def _value_hint(schema: _Schema, value: object) -> str:
    if schema.get("enum") and isinstance(value, str):
        return did_you_mean(value, [each for each in schema["enum"] if isinstance(each, str)])
    if schema.get("type") in ("number", "integer") and isinstance(value, str) and (found := _NUMBER.fullmatch(value)):
        number = ".".join(filter(None, found.group(1, 2)))
        return f". Write {number}, without quotes" + (f" and without {found[3]}" if found[3] else "")
    if schema.get("type") == "array" and isinstance(value, str):
        return f". Write [{_toml(value)}]"
    if schema.get("type") == "string" and isinstance(value, int | float):
        return f'. Write "{_toml(value)}"'
    return ""


def _unit_hint(written: str, meant: str) -> str:
    before, _, unit = written.rpartition("_")
    same, _, other = meant.rpartition("_")
    return f" It is in {other}, not in {unit}" if before == same and {unit, other} <= _UNITS else ""


def _given(value: object) -> str:
    return f" (is {_toml(value)})" if isinstance(value, str | int | float | bool) else ""


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
