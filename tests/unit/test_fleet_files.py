"""The fleet page's own files: texts that are complete and used in every language, and nothing from elsewhere."""

import json
import re
from pathlib import Path

import pytest

from edge_inspector.fleet.problems import Problem

PACKAGE = Path(__file__).parents[2] / "edge_inspector"
STATIC = PACKAGE / "fleet" / "static"
CODE = "\n".join(path.read_text() for path in STATIC.glob("*.js"))
TEXTS = {path.stem: json.loads(path.read_text()) for path in (PACKAGE / "fleet" / "languages").glob("*.json")}
OWN = set(TEXTS["en"])
OF_THE_PAGE = set(json.loads((PACKAGE / "web" / "languages" / "en.json").read_text()))


@pytest.mark.parametrize("tag", sorted(TEXTS))
def test_every_text_is_there_in_every_language(tag: str) -> None:
    texts, gaps = TEXTS[tag], re.compile(r"\{\w+\}")
    assert texts.keys() == OWN
    assert [key for key, text in texts.items() if not text.strip()] == []
    assert [key for key in OWN if set(gaps.findall(TEXTS["en"][key])) != set(gaps.findall(texts[key]))] == []


def test_the_languages_are_those_of_the_operator_page() -> None:
    assert set(TEXTS) == {path.stem for path in (PACKAGE / "web" / "languages").glob("*.json")}


def test_every_text_is_asked_for_and_every_one_that_is_asked_for_exists() -> None:
    plain = {key for key in re.findall(r'"([a-z]+\.[a-z_.]+)"', CODE) if not key.endswith(".js")}
    composed = set(re.findall(r"`([a-z]+(?:\.[a-z_]+)*\.)\$\{", CODE))
    assert plain - OWN - OF_THE_PAGE == set()
    assert [key for key in OWN if key not in plain and not key.startswith(tuple(composed))] == []
    assert not OWN & OF_THE_PAGE, "a text of the operator page would be replaced"


def test_each_problem_has_a_text_and_each_text_a_problem() -> None:
    assert {key for key in OWN if key.startswith("problem.")} == {f"problem.{each.value}" for each in Problem}


def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    for path in STATIC.iterdir():
        text = path.read_text()
        assert not re.search(r"https?://|[\"'(]//", text), path.name
        assert "innerHTML" not in text, path.name
        assert len(text.splitlines()) <= 300, path.name
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)


def test_no_file_hides_one_of_the_operator_page() -> None:
    own = {path.name for path in STATIC.iterdir()} - {"index.html"}
    assert not own & {path.name for path in (PACKAGE / "web" / "static").iterdir()}
