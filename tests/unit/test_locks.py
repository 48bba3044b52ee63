"""The lock file says what the constraints say, with hashes."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.MULTILINE)


def pins(path: Path) -> dict[str, str]:
    return {name.lower().replace("_", "-"): version for name, version in PINNED.findall(path.read_text())}


LOCKS = pytest.mark.parametrize("lock", ["cpu.txt", "build.txt"])


@LOCKS
def test_every_version_is_that_of_the_constraints(lock: str) -> None:
    allowed, locked = pins(ROOT / "constraints.txt"), pins(ROOT / "deploy" / "locks" / lock)
    assert len(locked) > 4
    assert {name: version for name, version in locked.items() if allowed.get(name) != version} == {}


@LOCKS
def test_every_package_has_hashes(lock: str) -> None:
    text = (ROOT / "deploy" / "locks" / lock).read_text()
    without = [
        name
        for name, rest in re.findall(r"^([a-zA-Z0-9._-]+)==((?:.*\\\n)*.*)$", text, re.MULTILINE)
        if "--hash=sha256:" not in rest
    ]
    assert without == []
