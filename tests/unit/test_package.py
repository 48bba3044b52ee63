"""A package is checked to its last byte before anything of it is written."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_inspector.errors import DeviceError
from edge_inspector.store.package import pack, read_package, unpack
from edge_inspector.store.signatures import new_key, objection, sign

pytest.importorskip("cryptography")


@pytest.fixture
def key(tmp_path: Path) -> str:
    return new_key(tmp_path / "release.key")


@pytest.fixture
def model(tmp_path: Path, key: str) -> Path:
    folder = tmp_path / "tile-1.1"
    (folder / "more").mkdir(parents=True)
    (folder / "manifest.toml").write_text("a = 1\n")
    (folder / "more" / "net.onnx").write_bytes(b"\x00\x01")
    assert sign(folder, tmp_path / "release.key") == key
    return folder


def with_header(content: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The package with another header, and all else as it was."""
    first, length, rest = content.split(b"\n", 2)
    header = json.loads(rest[: int(length, 16)])
    change(header)
    told = json.dumps(header).encode()
    return b"%s\n%08x\n%s%s" % (first, len(told), told, rest[int(length, 16) :])


def test_what_was_packed_is_unpacked(tmp_path: Path, model: Path, key: str) -> None:
    package = read_package(pack(model), [key])
    assert (package.name, package.is_folder, sorted(package.files)) == (
        "tile-1.1",
        True,
        ["manifest.toml", "more/net.onnx"],
    )
    (tmp_path / "there" / "tile-1.1").mkdir(parents=True)
    (tmp_path / "there" / "tile-1.1" / "old").write_text("gone")
    placed = unpack(package, tmp_path / "there")
    assert objection(placed, [key]) == ""
    assert [each.name for each in (tmp_path / "there").iterdir()] == ["tile-1.1"]


def test_a_recipe_is_one_file(tmp_path: Path, key: str) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("id = 1\n")
    sign(recipe, tmp_path / "release.key")
    placed = unpack(read_package(pack(recipe), [key]), tmp_path / "there")
    assert (placed.read_text(), objection(placed, [key])) == ("id = 1\n", "")
    assert sorted(each.name for each in placed.parent.iterdir()) == ["recipe.toml", "recipe.toml.signed"]


def test_what_is_not_signed_is_not_packed(model: Path) -> None:
    (model / "signed.json").unlink()
    with pytest.raises(DeviceError, match="edge-inspector sign"):
        pack(model)


def renamed(name: str) -> Callable[[dict[str, Any]], object]:
    def change(header: dict[str, Any]) -> None:
        header["sizes"][name] = header["sizes"].pop("more/net.onnx")

    return change


BAD: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "out of its folder": (renamed("more/../../net.onnx"), "may leave its folder"),
    "absolute": (renamed("/etc/net.onnx"), "may leave its folder"),
    "backslash": (renamed("..\\net.onnx"), "may leave its folder"),
    "hidden": (renamed(".net.onnx"), "may leave its folder"),
    "deep": (renamed("a/b/c/d/e"), "may leave its folder"),
    "another name": (renamed("more/other.onnx"), "has changed since it was signed"),
    "name with a way": (lambda header: header.update(name="../tile-1.1"), "name is not one"),
    "another model": (lambda header: header.update(name="tile-1.2"), "signature is not valid"),
    "no files": (lambda header: header.update(sizes={}), "0 files"),
    "many files": (lambda header: header.update(sizes=dict.fromkeys(map(str, range(65)), 0)), "65 files"),
    "negative": (lambda header: header["sizes"].update({"manifest.toml": -1}), "no size"),
    "larger": (lambda header: header["sizes"].update({"manifest.toml": 7}), "not whole"),
    "a size that is none": (lambda header: header["sizes"].update({"manifest.toml": True}), "no size"),
    "other types": (lambda header: header.update(signed=["x"]), "keys or types"),
    "a recipe of two files": (lambda header: header.update(is_folder=False), "has other files"),
    "damaged signature": (lambda header: header.update(signed="{}"), "signature is damaged"),
    "deep signature": (lambda header: header.update(signed="[" * 100_000), "signature is damaged"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_package_with_another_header_is_refused(model: Path, key: str, what: str) -> None:
    change, why = BAD[what]
    with pytest.raises(ValueError, match=why):
        read_package(with_header(pack(model), change), [key])


def test_another_key_is_refused(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ValueError, match="not among the trusted ones"):
        read_package(pack(model), [new_key(tmp_path / "other.key")])
    with pytest.raises(ValueError, match="not among the trusted ones"):
        read_package(pack(model), [])


def test_each_cut_and_each_flipped_byte_is_refused(model: Path, key: str) -> None:
    whole, chance = pack(model), random.Random(7)
    for length in range(len(whole)):
        with pytest.raises(ValueError, match=r"."):
            read_package(whole[:length], [key])
    header_end = whole.index(b"\n", 30) + 1
    for _ in range(300):
        at = chance.randrange(len(whole))
        flipped = whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :]
        try:
            package = read_package(flipped, [key])
        except ValueError:
            continue
        # JSON may be spelled in two ways, but what it says and what comes out must be the same.
        assert at >= header_end
        assert package.files == read_package(whole, [key]).files
        assert package.name == "tile-1.1"


def test_an_unpacking_that_fails_leaves_nothing_behind(tmp_path: Path, model: Path, key: str) -> None:
    package = read_package(pack(model), [key])
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / ".tile-1.1.new").write_text("left by a power cut")
    unpack(package, tmp_path / "there")
    assert [each.name for each in (tmp_path / "there").iterdir()] == ["tile-1.1"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"."):
        unpack(package, tmp_path / "file")
