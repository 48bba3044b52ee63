"""The optional authentication tag of the daemon's records, for a PLC that can check it.

HMAC-SHA256 with a shared key of 32 bytes over one letter (H: header, V: verdict) and bytes 0..45 of the record. Its
first 16 bytes are at bytes 46..61. The tag covers session, number and heartbeat, so a repeated record is recognised as
old.
"""

from __future__ import annotations

import hmac
import stat
from binascii import crc_hqx
from pathlib import Path

from edge_inspector.errors import ConfigError, Fault
from edge_inspector.plc.blocks import EDGE_HEADER, VERDICT, Record

TAG_AT, TAG_SIZE = 46, 16
_LETTERS = {EDGE_HEADER: b"H", VERDICT: b"V"}


def sealed(record: Record, raw: bytes, key: bytes | None) -> bytes:
    """The record's bytes with tag and new CRC. Unchanged without a key."""
    if key is None:
        return raw
    signed = raw[:TAG_AT]
    tag = hmac.digest(key, _LETTERS[record] + signed, "sha256")[:TAG_SIZE]
    body = signed + tag
    return body + crc_hqx(body, 0xFFFF).to_bytes(2, "big")


def read_key(path: Path | None) -> bytes | None:
    """The key in the file, or None without a file. Raises ConfigError."""
    if path is None:
        return None
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except OSError as error:
        raise _wrong(f"{path} cannot be read: {error.strerror}") from error
    except ValueError:
        key = b""
    if len(key) != 32:
        raise _wrong(f"{path} must hold 64 hexadecimal digits (32 bytes): openssl rand -hex 32 > {path}")
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise _wrong(f"{path} can be read or written by everybody: chmod 640 {path}")
    return key


def _wrong(what: str) -> ConfigError:
    return ConfigError([Fault("plcs.settings.auth_key_file", what)])
