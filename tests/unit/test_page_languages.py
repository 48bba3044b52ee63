"""Languages as files: a station adds its own, and a file that is wrong harms nobody."""

import json
import logging
from pathlib import Path

import pytest
from support.page import plant_of, serving

from edge_inspector.web.texts import read_languages


def test_a_station_adds_a_language_and_names_its_classes(tmp_path: Path) -> None:
    folder = tmp_path / "languages"
    folder.mkdir()
    (folder / "ar.json").write_text('{"language.name": "العربية", "language.direction": "rtl", "state.ready": "جاهز"}')
    (folder / "de.json").write_text('{"class.defect": "Riss", "state.ready": "Läuft"}')
    with serving(plant_of(tmp_path)) as page:
        arabic = page.visitor().ask("GET", "/api/languages/ar-EG").json
        assert (arabic["tag"], arabic["direction"]) == ("ar", "rtl")
        assert (arabic["texts"]["state.ready"], arabic["texts"]["state.fault"]) == ("جاهز", "Fault")
        assert {"tag": "ar", "name": "العربية"} in arabic["languages"]
        assert "parts.count.one" in arabic["texts"], "English, as the text for many parts"
        german = page.visitor().ask("GET", "/api/languages/de").json["texts"]
        assert (german["class.defect"], german["state.ready"], german["state.fault"]) == ("Riss", "Läuft", "Störung")


def test_one_of_something_is_not_said_in_another_language_than_many(tmp_path: Path) -> None:
    folder = tmp_path / "languages"
    folder.mkdir()
    (folder / "pt.json").write_text('{"parts.count": "{n} peças"}')
    with serving(plant_of(tmp_path)) as page:
        texts = page.visitor().ask("GET", "/api/languages/pt").json["texts"]
        assert texts["parts.count"] == "{n} peças"
        assert "parts.count.one" not in texts
        assert texts["recipes.on_belt.one"].startswith("{n} part of")


@pytest.mark.parametrize("tag", ["xx", "..%2Fen", "%00", "e" * 3000])
def test_a_language_that_is_not_there_is_english(tmp_path: Path, tag: str) -> None:
    with serving(plant_of(tmp_path)) as page:
        answer = page.visitor().ask("GET", f"/api/languages/{tag}")
        assert answer.status == 404 or answer.json["tag"] == "en"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("de.json", "[]", "must be one JSON object"),
        ("de.json", '{"state.ready": 1}', "'state.ready': must be a text"),
        ("de.json", json.dumps({"state.ready": "x" * 1001}), "at most 1000 characters"),
        ("de.json", r'{"state.ready": "\ud800"}', "surrogates not allowed"),
        ("de.json", "[" * 100_000, ""),
        ("de.json", " " * 600_000, "has more than 524288 bytes"),
        ("German.json", "{}", "must be called after its language"),
    ],
)
def test_a_file_that_is_wrong_is_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, content: str, words: str
) -> None:
    (tmp_path / name).write_text(content)
    with caplog.at_level(logging.WARNING):
        languages = read_languages(tmp_path)
    assert languages["de"].texts["state.ready"] == "Bereit"
    assert f"{tmp_path / name} is left out" in caplog.text
    assert words in caplog.text
