"""Signatures of model folders and recipes: who has released them, and that nobody has changed them since.

Beside a recipe lies `NAME.signed`, in a model folder `signed.json`. It has the SHA-256 of each file, the public key,
and an Ed25519 signature over both. Keys are 32 bytes in base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from edge_inspector.errors import ConfigError, DeviceError, EdgeInspectorError, Fault
from edge_inspector.store.whole_file import replace_file

_FOLDER_NAME: Final = "signed.json"
_KEY_BYTES: Final = 32
_LARGEST: Final = 1 << 20
_PURPOSE: Final = "edge-inspector files 1"  # so that a signature is good for nothing else


def signature_path(signed: Path) -> Path:
    """Where the signature of a model folder or of a recipe is."""
    return signed / _FOLDER_NAME if signed.is_dir() else signed.with_name(f"{signed.name}.signed")


def new_key(path: Path) -> str:
    """Make a key pair, keep the private key in a new file that only its owner may read, and return the public key.

    Raises DeviceError, also if there is such a file.
    """
    key = _library().Ed25519PrivateKey.generate()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(base64.b64encode(key.private_bytes_raw()) + b"\n")
    except OSError as error:
        raise DeviceError(f"{path}: a key cannot be written: {error.strerror}") from error
    return _text(key.public_key().public_bytes_raw())


def sign(signed: Path, key_file: Path) -> str:
    """Sign a model folder or a recipe with the private key in `key_file`. Returns the public key.

    Raises ConfigError for a wrong key, DeviceError if a file cannot be read or written.
    """
    try:
        secret = _bytes(key_file.read_text(encoding="ascii").strip())
        key = _library().Ed25519PrivateKey.from_private_bytes(secret)
    except OSError as error:
        raise ConfigError([Fault(str(key_file), f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:
        raise ConfigError([Fault(str(key_file), "is no key that `edge-inspector sign --new` wrote")]) from error
    public = _text(key.public_key().public_bytes_raw())
    try:
        files = _hashes(signed)
        content = {"files": files, "key": public, "signature": _text(key.sign(_statement(signed.name, files, public)))}
        replace_file(signature_path(signed), json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise DeviceError(f"{signed}: cannot be signed: {error.strerror}") from error
    return public


def objection(signed: Path, keys: Collection[str]) -> str:
    """Why the model folder or recipe is not as one of `keys` has signed it. Empty if it is."""
    path = signature_path(signed)
    try:
        if path.stat().st_size > _LARGEST:
            return f"{path} is too large for a signature"
        found: Any = json.loads(path.read_bytes())
        files, key, signature = found["files"], found["key"], _bytes(found["signature"], 64)
        now = _hashes(signed)
    except FileNotFoundError:
        return "is not signed"
    except OSError as error:
        return f"its signature cannot be checked: {error.strerror}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"{path} is damaged"
    return _objection(signed.name, files, now, key=key, signature=signature, keys=keys)


def objection_to_bytes(name: str, contents: Mapping[str, bytes], signed: bytes, keys: Collection[str]) -> str:
    """The same for files that are only in memory yet, by their path within the folder, and their signature file.

    Nothing is unpacked before this has been asked. `name` is that of the folder, or of the recipe's file.
    """
    try:
        found: Any = json.loads(signed)
        files, key, signature = found["files"], found["key"], _bytes(found["signature"], 64)
    except (ValueError, KeyError, TypeError, RecursionError):
        return "its signature is damaged"
    now = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    return _objection(name, files, now, key=key, signature=signature, keys=keys)


def _objection(name: str, files: Any, now: dict[str, str], *, key: Any, signature: bytes, keys: Collection[str]) -> str:
    if not isinstance(key, str) or key not in keys:
        return "is signed with a key that is not among the trusted ones"
    if files != now:
        return f"has changed since it was signed: {_difference(files, now)}"
    library = _library()
    try:
        library.Ed25519PublicKey.from_public_bytes(_bytes(key)).verify(signature, _statement(name, now, key))
    except (import_module("cryptography.exceptions").InvalidSignature, ValueError):
        return "its signature is not valid"
    return ""


def is_public_key(text: str) -> bool:
    """Whether the text can be a public key."""
    try:
        return len(_bytes(text)) == _KEY_BYTES
    except ValueError:
        return False


def _hashes(signed: Path) -> dict[str, str]:
    """The SHA-256 of each file, by its path within the folder. Raises OSError."""
    if not signed.is_dir():
        return {signed.name: _sha256(signed)}
    return {each.relative_to(signed).as_posix(): _sha256(each) for each in _files_of(signed)}


def _files_of(folder: Path) -> Iterator[Path]:
    for each in sorted(folder.rglob("*")):
        if each.is_symlink() or not (each.is_dir() or each.is_file()):
            raise OSError(0, f"{each} is neither a file nor a folder")
        if each.is_file() and each != signature_path(folder):
            yield each


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _statement(name: str, files: dict[str, str], key: str) -> bytes:
    """What is signed: the name, too, so that a signed recipe cannot take the place of another one."""
    return json.dumps([_PURPOSE, name, sorted(files.items()), key], ensure_ascii=True).encode()


def _difference(before: Any, now: dict[str, str]) -> str:
    known = before if isinstance(before, dict) else {}
    names = sorted(name for name in {*known, *now} if known.get(name) != now.get(name))
    return ", ".join(names[:3]) or "its list of files"


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: Any, count: int = _KEY_BYTES) -> bytes:
    """Raises ValueError if the text is no base64 of so many bytes."""
    if not isinstance(text, str):
        raise ValueError("must be a text")  # noqa: TRY004 -- the text is wrong, not the program
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("is no base64") from error
    if len(content) != count:
        raise ValueError("has another length")
    return content


def _library() -> Any:
    try:
        return import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    except ImportError as error:
        raise EdgeInspectorError("signatures need a package: pip install 'edge-inspector[signing]'") from error
