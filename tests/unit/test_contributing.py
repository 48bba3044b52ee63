"""What CONTRIBUTING.md and CHANGELOG.md say of the code is true."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from edge_inspector import __version__

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "edge_inspector"
PAGE = (ROOT / "CONTRIBUTING.md").read_text()


def broad_excepts(file: Path) -> Iterator[int]:
    """The lines on which everything is caught."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ExceptHandler):
            caught = {part.id for part in ast.walk(node.type) if isinstance(part, ast.Name)} if node.type else set()
            if not node.type or caught & {"Exception", "BaseException"}:
                yield node.lineno


def test_the_broad_excepts_are_those_that_contributing_names() -> None:
    found = [str(file.relative_to(PACKAGE)) for file in sorted(PACKAGE.rglob("*.py")) for _ in broad_excepts(file)]
    named = re.findall(r"^ +- `([\w/]+\.py)`", PAGE, re.MULTILINE)
    assert found == sorted(named)


def test_every_file_that_contributing_names_exists() -> None:
    named = set(re.findall(r"`((?:[\w]+/)*\w+\.py)`", PAGE))
    assert named
    assert [name for name in named if not (ROOT / name).exists() and not (PACKAGE / name).exists()] == []


def test_the_newest_released_version_is_the_one_of_the_package() -> None:
    versions = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[:2] == ["Unreleased", __version__]
