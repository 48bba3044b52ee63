"""A signed model folder or recipe as one run of bytes, for the way to a station.

A line that says what this is, the length of the header in eight hex digits on a line, the header as JSON, and the
files one after the other in the order of their paths. There are no links, devices, modes or compressed parts in it.
Everything is checked in memory: nothing is written before the signature and each hash are good.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_inspector.errors import DeviceError
from edge_inspector.store.signatures import objection_to_bytes, signature_path
from edge_inspector.store.whole_file import draft_folder_of, replace_file

_MAGIC: Final = b"edge-inspector package 1\n"
_HEADER_MOST: Final = 1 << 20
_FILES_MOST: Final = 64
_LEVELS_MOST: Final = 4
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
"""A name of a file or folder. It does not begin with a dot, so it is neither hidden nor the folder above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that was checked. `files` are by path within the folder. Of a recipe it is the one file."""

    name: str
    is_folder: bool
    files: Mapping[str, bytes]
    signed: bytes
    digest: str


def pack(signed: Path) -> bytes:
    """The package of a signed model folder or recipe. Raises DeviceError if a file cannot be read."""
    signed = signed.resolve()
    try:
        signature = signature_path(signed).read_bytes()
        if signed.is_dir():
            paths = [each for each in signed.rglob("*") if each.is_file() and each != signature_path(signed)]
            files = {each.relative_to(signed).as_posix(): each.read_bytes() for each in paths}
        else:
            files = {signed.name: signed.read_bytes()}
    except FileNotFoundError as error:
        raise DeviceError(f"{error.filename} is missing. `edge-inspector sign` signs a model or a recipe") from error
    except OSError as error:
        raise DeviceError(f"{error.filename}: cannot be read: {error.strerror}") from error
    header = {
        "name": signed.name,
        "is_folder": signed.is_dir(),
        "sizes": {path: len(files[path]) for path in sorted(files)},
        "signed": signature.decode("ascii", "replace"),
    }
    told = json.dumps(header).encode()
    return b"".join([_MAGIC, b"%08x\n" % len(told), told, *(files[path] for path in sorted(files))])


def digest_of(content: bytes) -> str:
    """The SHA-256 of a package."""
    return hashlib.sha256(content).hexdigest()


def read_package(content: bytes, keys: Collection[str]) -> Package:
    """The package in these bytes, signed by one of `keys`. Raises ValueError, which says what is wrong with it."""
    header, rest = _header(content)
    name, folder, sizes, signed = (header.get(key) for key in ("name", "is_folder", "sizes", "signed"))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("the package's name is not one of a model or a recipe: use A-Z a-z 0-9 . _ + -")
    if not isinstance(folder, bool) or not isinstance(signed, str) or not isinstance(sizes, dict):
        raise ValueError("the package's header has other keys or types than it must have")  # noqa: TRY004 -- the content is wrong
    if not 1 <= len(sizes) <= _FILES_MOST:
        raise ValueError(f"the package has {len(sizes)} files, 1 to {_FILES_MOST} are possible")
    if not folder and set(sizes) != {name}:
        raise ValueError("the package of a recipe has other files, too")
    for path, size in sizes.items():
        _refuse_path(path)
        if type(size) is not int or size < 0:
            raise ValueError(f"the package's {path} has no size")
    if sum(sizes.values()) != len(rest):
        raise ValueError(f"the package is not whole: {len(rest)} bytes of files, {sum(sizes.values())} were told")
    files, at = {}, 0
    for path in sorted(sizes):
        files[path] = rest[at : at + sizes[path]]
        at += sizes[path]
    if why := objection_to_bytes(name, files, signed.encode(), keys):
        raise ValueError(f"{name}: {why}")
    return Package(name=name, is_folder=folder, files=files, signed=signed.encode(), digest=digest_of(content))


def unpack(package: Package, parent: Path) -> Path:
    """Write the files into `parent`, beside their place first. Returns the folder, or the recipe's file.

    What was there under this name is replaced. Raises OSError.
    """
    target = parent / package.name
    parent.mkdir(parents=True, exist_ok=True)
    if not package.is_folder:
        replace_file(signature_path(target), package.signed)
        replace_file(target, package.files[package.name])
        return target
    with draft_folder_of(target) as draft:
        for path, content in package.files.items():
            place = draft / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        signature_path(draft).write_bytes(package.signed)
    return target


def _header(content: bytes) -> tuple[dict[str, Any], bytes]:
    if not content.startswith(_MAGIC):
        raise ValueError("this is no package that `edge-inspector rollout` made")
    start = len(_MAGIC) + 9
    length = content[len(_MAGIC) : start]
    if not re.fullmatch(rb"[0-9a-f]{8}\n", length) or int(length, 16) > _HEADER_MOST:
        raise ValueError("the package's header has no length, or is too large")
    end = start + int(length, 16)
    if end > len(content):
        raise ValueError("the package is not whole: its header is cut off")
    try:
        found = json.loads(content[start:end])
    except (ValueError, RecursionError) as error:
        raise ValueError("the package's header is not JSON") from error
    if not isinstance(found, dict):
        raise ValueError("the package's header is no object")  # noqa: TRY004 -- the content is wrong
    return found, content[end:]


def _refuse_path(path: str) -> None:
    levels = path.split("/")
    if len(levels) > _LEVELS_MOST or not all(_NAME.fullmatch(level) for level in levels):
        raise ValueError(f"the package has a file that may leave its folder, or with a strange name: {path[:100]!r}")
