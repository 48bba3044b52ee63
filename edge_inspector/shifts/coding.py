"""The records of `records.py` as JSON, and back. Whatever is read is checked against the types of its fields.

A field that has its default is left out, so that a line is short. A field that a later version adds needs a default.
"""

from __future__ import annotations

import math
import types
from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

_PLAIN: Final = (bool, int, float, str)
_T = TypeVar("_T")


def as_json(value: Any) -> Any:  # noqa: PLR0911 -- a table of kinds
    """A record as JSON knows it: dataclasses as objects, members of enums by name, tuples as lists."""
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: as_json(found)
            for field in _fields(value.__class__)
            if not _is_default(field, found := getattr(value, field.name))
        }
    if isinstance(value, Mapping):
        return {str(key): as_json(found) for key, found in value.items()}
    if isinstance(value, frozenset):
        return sorted(as_json(each) for each in value)
    return [as_json(each) for each in value]


def from_json(kind: type[_T], value: Any, where: str = "") -> _T:
    """The `kind` that `value` was made of. Raises ValueError, which says where the text is wrong."""
    return cast("_T", _read(kind, value, where))


def _read(kind: Any, value: Any, where: str) -> Any:  # noqa: PLR0911 -- as as_json
    origin, of = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _either(of, value, where)
    if kind in _PLAIN:
        return _plain(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _member(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            raise ValueError(f"{where} is no {kind.__name__}: {error.errors()[0]['msg']}") from error
    if is_dataclass(kind):
        return _dataclass(cast("type", kind), value, where)
    if origin is tuple:
        return tuple(_items(of, value, where))
    if origin is frozenset:
        return frozenset(_items((of[0], ...), value, where))
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
        return {_key(of[0], key, where): _read(of[1], found, f"{where}.{key}") for key, found in value.items()}
    raise ValueError(f"{where or 'the text'} is of a wrong kind")


def _plain(kind: Any, value: Any, where: str) -> Any:
    if kind is float and type(value) is int:
        return value  # a whole number stays one, so that its text stays the same
    if type(value) is not kind or (isinstance(value, float) and math.isnan(value)):
        raise ValueError(f"{where} must be of type {kind.__name__}")
    return value


def _member(kind: type[Enum], value: Any, where: str) -> Enum:
    if not isinstance(value, str) or value not in kind.__members__:
        raise ValueError(f"{where} is no {kind.__name__}")
    return kind[value]


def _either(kinds: Collection[Any], value: Any, where: str) -> Any:
    if value is None and types.NoneType in kinds:
        return None
    (kind,) = (each for each in kinds if each is not types.NoneType)
    return _read(kind, value, where)


def _items(of: tuple[Any, ...], value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list")  # noqa: TRY004 -- the text is wrong, not the program
    kinds = (of[0],) * len(value) if of[1:] == (...,) else of
    if len(kinds) != len(value):
        raise ValueError(f"{where} must have {len(kinds)} values")
    return [_read(kind, each, where) for kind, each in zip(kinds, value, strict=True)]


def _key(kind: Any, key: str, where: str) -> Any:
    try:
        return int(key) if kind is int else key
    except ValueError as error:
        raise ValueError(f"{where}.{key} must be a number") from error


def _dataclass(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where or 'the text'} must be an object")  # noqa: TRY004 -- as above
    hints = _hints(kind)
    unknown = value.keys() - hints.keys()
    if unknown:
        raise ValueError(f"{where or kind.__name__} has a key that this version does not know: {min(unknown)}")
    given = {name: _read(hints[name], found, f"{where}.{name}".removeprefix(".")) for name, found in value.items()}
    missing = [field.name for field in _fields(kind) if field.name not in given and _has_no_default(field)]
    if missing:
        raise ValueError(f"{where or kind.__name__} lacks {missing[0]}")
    return kind(**given)


@lru_cache(maxsize=64)
def _fields(kind: type) -> tuple[Field[Any], ...]:
    return fields(kind)


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _has_no_default(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _is_default(field: Field[Any], value: Any) -> bool:
    return field.default is not MISSING and type(value) is type(field.default) and bool(value == field.default)
