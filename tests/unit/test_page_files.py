"""The page's own files: one table of texts that is complete and used, and nothing from elsewhere."""

import re
from pathlib import Path

import pytest

from edge_inspector.records import Decision, ErrorCode, Reason, StationState
from edge_inspector.store.users import Role

STATIC = Path(__file__).parents[2] / "edge_inspector" / "web" / "static"
SCRIPTS = {path.name: path.read_text() for path in STATIC.glob("*.js")}
TEXTS = SCRIPTS["texts.js"].split("const LANGUAGES")[0] + SCRIPTS["why.js"]
TABLE = re.findall(r'^  "([a-z_.0-9]+)": \["(.*)", "(.*)"\],$', TEXTS, re.MULTILINE)
KEYS = {key for key, _, _ in TABLE}


def used() -> set[str]:
    """Keys that the scripts name, `prefix.*` for those that they compose."""
    code = "\n".join(text for name, text in SCRIPTS.items() if name not in ("texts.js", "why.js"))
    plain = set(re.findall(r'"([a-z]+\.[a-z_.]+)"', code)) - {"healthz"}
    return plain | {f"{prefix}*" for prefix in re.findall(r"`([a-z]+(?:\.[a-z_]+)*\.)\$\{", code)}


def test_every_text_is_there_in_both_languages() -> None:
    assert len(TABLE) == TEXTS.count('": ['), "one line per text"
    assert [key for key, english, german in TABLE if not english or not german] == []
    gaps = re.compile(r"\{\w+\}")
    assert [
        key for key, english, german in TABLE if sorted(gaps.findall(english)) != sorted(gaps.findall(german))
    ] == []
    assert len(KEYS) == len(TABLE)


def test_every_text_that_is_asked_for_exists() -> None:
    assert [key for key in used() if not key.endswith("*") and key not in KEYS] == []
    assert [key for key in used() if key.endswith("*") and not any(each.startswith(key[:-1]) for each in KEYS)] == []


def test_every_text_is_asked_for() -> None:
    asked = used()
    prefixes = tuple(key[:-1] for key in asked if key.endswith("*"))
    assert [key for key in KEYS if key not in asked and not key.startswith(prefixes)] == []


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("reason", [reason.label for reason in Reason]),
        ("code", [code.name.lower() for code in ErrorCode if code]),
        ("state", [state.value for state in StationState]),
        ("decision", [decision.name.lower() for decision in Decision]),
        ("role", [role.label for role in Role]),
    ],
)
def test_everything_that_the_station_can_say_has_a_text(prefix: str, words: list[str]) -> None:
    assert {f"{prefix}.{word}" for word in words} <= KEYS


def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    for path in STATIC.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|[\"'(]//", text), path.name
        assert "innerHTML" not in text, path.name
        assert not re.search(r"\b(eval|Function)\(", text), path.name
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)


def test_no_file_is_too_long_to_read() -> None:
    assert [path.name for path in STATIC.iterdir() if len(path.read_text().splitlines()) > 300] == []
