"""The authentication tag: what a PLC with the key can check, and a file that keeps the key."""

import hashlib
import hmac
from pathlib import Path

import pytest

from edge_inspector.errors import ConfigError
from edge_inspector.plc.blocks import EDGE_HEADER, VERDICT, Record
from edge_inspector.plc.seal import read_key, sealed

KEY = bytes(range(32))


def record(kind: Record, **changes: int) -> bytes:
    return kind.pack(**{field.name: 0 for field in kind.fields} | changes)


@pytest.mark.parametrize(("kind", "letter"), [(EDGE_HEADER, b"H"), (VERDICT, b"V")], ids=["header", "verdict"])
def test_the_tag_is_the_documented_one_and_the_record_stays_readable(kind: Record, letter: bytes) -> None:
    plain = record(kind, session_id=5)
    signed = sealed(kind, plain, KEY)
    assert signed[:46] == plain[:46]
    assert signed[46:62] == hmac.new(KEY, letter + plain[:46], hashlib.sha256).digest()[:16]
    assert kind.unpack(signed) == kind.unpack(plain)


def test_without_a_key_nothing_changes() -> None:
    plain = record(VERDICT, seq=4)
    assert sealed(VERDICT, plain, None) is plain


def test_another_number_session_key_or_kind_has_another_tag() -> None:
    tags = {
        sealed(VERDICT, record(VERDICT, seq=1), KEY)[46:62],
        sealed(VERDICT, record(VERDICT, seq=2), KEY)[46:62],
        sealed(VERDICT, record(VERDICT, seq=1, session_id=1), KEY)[46:62],
        sealed(VERDICT, record(VERDICT, seq=1, decision=1), KEY)[46:62],
        sealed(VERDICT, record(VERDICT, seq=1), KEY[::-1])[46:62],
        sealed(EDGE_HEADER, record(VERDICT, seq=1), KEY)[46:62],
    }
    assert len(tags) == 6


def test_the_key_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY.hex() + "\n")
    file.chmod(0o640)
    assert read_key(file) == KEY
    assert read_key(None) is None


def refusal(file: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        read_key(file)
    (fault,) = refused.value.faults
    assert fault.where == "plcs.settings.auth_key_file"
    return fault.what


@pytest.mark.parametrize("content", ["", KEY.hex()[:-2], KEY.hex() + "00", "x" * 64, "\ufeff" + KEY.hex()])
def test_a_file_that_is_no_key_is_refused_with_what_to_type(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    file.chmod(0o600)
    assert refusal(file) == f"{file} must hold 64 hexadecimal digits (32 bytes): openssl rand -hex 32 > {file}"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o666])
def test_a_key_that_everybody_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    file.write_text(KEY.hex())
    file.chmod(mode)
    assert refusal(file) == f"{file} can be read or written by everybody: chmod 640 {file}"


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert refusal(gone) == f"{gone} cannot be read: No such file or directory"
