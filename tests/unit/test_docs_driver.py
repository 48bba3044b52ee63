"""docs/how-to/driver.md quotes the example package as it is, and the package declares what it has."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "driver"
QUOTE = re.compile(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_QUOTED = {"recipe.toml", "acme_drivers/__init__.py", "acme_drivers/devices.py"}


def test_the_page_quotes_the_files_as_they_are() -> None:
    page = (DOCS / "how-to" / "driver.md").read_text()
    quoted = dict(QUOTE.findall(page))
    files = {path.relative_to(EXAMPLE).as_posix() for path in EXAMPLE.rglob("*") if path.suffix in {".py", ".toml"}}
    assert quoted.keys() == files - NOT_QUOTED
    assert len(re.findall(r"^```(python|toml)$", page, re.MULTILINE)) == len(quoted)
    assert {name: (EXAMPLE / name).read_text() for name in quoted} == quoted
