from pathlib import Path

import pytest
from house import figures, main, sentences

RECORDS = '''
"""Records; with a semicolon."""
from dataclasses import dataclass
from typing import NamedTuple
from edge_inspector.wires import Wire

@dataclass(frozen=True)
class Wide:
    a: int
    b: int
    c: int
    d: int
    e: int

@dataclass(kw_only=True)
class Named(Wide):
    f: int

class Row(NamedTuple):
    a: int
    b: int
'''
WIRES = '''
from edge_inspector import records

class Wire:
    def __init__(self, a, b, c, d, e): ...

class Other:
    def __init__(self, a, b, c, d, *, e): ...

def one(a):
    """Sum."""
    b = a + 1
    c = b * 2
    return b + c

def two(x):
    """Sum of others."""
    y = x + 1
    z = y * 2
    return y + z

def three(x):
    """Not the sum."""
    y = x + 1
    z = y * 3
    return y + z

def promise():
    """What comes.

    Later.
    The code is elsewhere.
    """

def other_promise():
    """What comes.

    Later.
    The code is elsewhere.
    """

def four():
    """Not a message; a docstring."""
    try:
        one(1, f"this is {one} message; with one")
        one(2, help="this one has none")
    except (ValueError, Exception):
        pass
    except KeyError:
        pass
    except:
        pass
'''
SETTINGS = '''
class Table:
    pass

class LineTable(Table):
    """The belt. `gate_mm` is where the gate acts."""

    speed: float
    """How fast it is."""
    gate_mm: float
    reserve: float = 1.0

class StationFile(Table):
    line: LineTable | None = None
    """The belt."""

class DriverSettings:
    pass

class Base(DriverSettings):
    host: str

class Camera:
    class Settings(Base):
        port: int
        """Its port."""

class NoSetting:
    port: int
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    package = tmp_path / "edge_inspector"
    package.mkdir()
    for name, text in (("records", RECORDS), ("wires", WIRES), ("tables", SETTINGS), ("__init__", "")):
        (package / f"{name}.py").write_text(text)
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# A title of it\n\nThis is one; it has one.\nThis one has none.\n")
    (tmp_path / "docs" / "index.md").write_text(
        "- A list item that\n  goes on\n\n| a cell; with one | a cell without |\n"
    )
    (tmp_path / "CHANGELOG.md").write_text("Nothing was changed.\n")
    return tmp_path


def test_each_figure_is_counted(checkout: Path) -> None:
    found = figures(checkout)
    assert found["files"] == "4"
    assert found["functions"] == "8"
    assert found["constructors with more than 4 positional parameters"] == "1"
    assert found["dataclasses and named tuples with more than 4 positional fields"] == "1"
    assert found["pairs of functions that differ in names only"] == "1"
    assert found["broad excepts"] == "2"
    assert found["import cycles"] == "1; edge_inspector.records edge_inspector.wires"
    assert (found["settings"], found["settings without a line"]) == ("6", "2")
    assert found["sentences with a semicolon: docs, README"] == "33.3% of 6"
    assert found["sentences with a semicolon: other pages"] == "0.0% of 1"
    assert found["sentences with a semicolon: messages, help"] == "50.0% of 2"


def test_code_on_a_page_is_no_sentence() -> None:
    assert sentences("Write this `a; b` down.\n\n```sh\none two three; four\n```\n") == ["Write this code down."]


def test_checkouts_stand_side_by_side(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(checkout), str(checkout)])
    assert "| files | 4 | 4 |" in capsys.readouterr().out
