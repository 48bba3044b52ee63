"""The page's own files: texts that are complete and used in every language, and nothing from elsewhere."""

import json
import re
from pathlib import Path

import pytest

from edge_inspector.codes import Decision, ErrorCode, Reason, StationState
from edge_inspector.store.users import Role

WEB = Path(__file__).parents[2] / "edge_inspector" / "web"
STATIC = WEB / "static"
SCRIPTS = {path.name: path.read_text() for path in STATIC.glob("*.js")}
LANGUAGES = {path.stem: json.loads(path.read_text()) for path in (WEB / "languages").glob("*.json")}
KEYS = set(LANGUAGES["en"])
OTHERS = sorted(LANGUAGES.keys() - {"en"})
NAMED_BY_FILES = ("class.", "language.")
ONE = ".one"


def used() -> set[str]:
    """Keys that the scripts name, `prefix.*` for those that they compose."""
    code = "\n".join(SCRIPTS.values())
    plain = {key for key in re.findall(r'"([a-z]+\.[a-z_.0-9]+)"', code) if not key.endswith((".js", ".css", ".svg"))}
    return plain | {f"{prefix}*" for prefix in re.findall(r"`([a-z]+(?:\.[a-z_]+)*\.)\$\{", code)}


@pytest.mark.parametrize("tag", OTHERS)
def test_every_text_is_there_in_every_language(tag: str) -> None:
    texts, gaps = LANGUAGES[tag], re.compile(r"\{\w+\}")
    assert {key for key in texts.keys() - KEYS if not key.startswith("class.")} == set()
    if tag == "de":  # of other languages a new text may be missing for a while: it is shown in English
        assert KEYS - texts.keys() == set()
    assert [key for key, text in texts.items() if not text.strip()] == []
    english = LANGUAGES["en"]
    both = KEYS & texts.keys()
    assert [key for key in both if set(gaps.findall(english[key])) != set(gaps.findall(texts[key]))] == []


def test_every_text_that_is_asked_for_exists() -> None:
    assert [key for key in used() if not key.endswith("*") and key not in KEYS] == []
    composed = {key[:-1] for key in used() if key.endswith("*")} - set(NAMED_BY_FILES)
    assert [prefix for prefix in composed if not any(each.startswith(prefix) for each in KEYS)] == []


def test_every_text_is_asked_for() -> None:
    asked = used()
    prefixes = tuple(key[:-1] for key in asked if key.endswith("*"))
    named = {key: key.removesuffix(ONE) for key in KEYS}  # a text for one of something is asked for with that for many
    assert [key for key in KEYS if named[key] not in asked and not key.startswith((*prefixes, *NAMED_BY_FILES))] == []
    assert [key for key in KEYS if named[key] not in KEYS] == []


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
