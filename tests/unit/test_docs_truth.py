"""Texts that could become untrue without notice: names of pages in code, numbers in names, drawings, tables."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPOKEN = {
    ".py",
    ".js",
    ".html",
    ".json",
    ".toml",
    ".yml",
    ".yaml",
    ".conf",
    ".rules",
    ".service",
    ".scl",
    ".udt",
    ".sh",
    ".db",
}
FOLDERS = ("edge_inspector", "deploy", "systemd", "models", "benchmarks", "docs")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
REFERENCE = (ROOT / "docs" / "reference.md").read_text()


def spoken_files() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SPOKEN]
    hidden = [path for path in found if any(part.startswith(".") for part in path.relative_to(ROOT).parts)]
    return [*sorted(set(found) - set(hidden)), ROOT / "Makefile", ROOT / "pyproject.toml"]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_that_code_and_files_name_exists_with_its_heading() -> None:
    named = [
        (path.relative_to(ROOT), page, anchor)
        for path in spoken_files()
        for page, anchor in re.findall(r"\b(docs/[\w./-]+\.md)(?:#([\w-]+))?", path.read_text())
    ]
    assert len(named) > 40
    assert [each for each in named if not (ROOT / each[1]).exists()] == []
    assert [each for each in named if each[2] and each[2] not in anchors(ROOT / each[1])] == []


def test_every_stage_is_in_the_drawing() -> None:
    drawing = (ROOT / "docs" / "architecture.md").read_text().partition("```\n")[2].partition("```")[0]
    stages = {path.stem for path in (ROOT / "edge_inspector" / "stages").glob("*.py")} - {"__init__"}
    assert "judge" in stages
    assert stages - set(re.findall(r"\w+", drawing)) == set()


def test_no_paragraph_of_the_reference_is_rendered_as_code() -> None:
    assert re.findall(r"^(?: {4}|\t).*", FENCE.sub("", REFERENCE), re.MULTILINE) == []


@pytest.mark.parametrize("word", ["None", "True", "False", "PydanticUndefined"])
def test_no_value_in_the_reference_is_a_word_of_python(word: str) -> None:
    assert f"`{word}`" not in REFERENCE


def test_the_name_of_the_shipped_recipe_has_the_length_of_its_part() -> None:
    recipe = tomllib.loads((ROOT / "deploy" / "recipe.toml").read_text())
    (length,) = re.findall(r"(\d+) x \d+", recipe["name"])
    assert float(length) == recipe["part_length_mm"]
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    about = [text for page in pages for text in re.findall(r"magnetic tile (\d+) x", page.read_text())]
    assert set(about) <= {length}


def test_no_two_modules_on_the_path_of_the_tests_have_one_name() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    names = [path.stem for folder in settings["pythonpath"] for path in (ROOT / folder).glob("*.py")]
    assert len(names) > 10
    assert [name for name in set(names) if names.count(name) > 1] == []


def test_the_list_of_decisions_is_complete_and_explains_its_gaps() -> None:
    folder = ROOT / "docs" / "decisions"
    page = (folder / "README.md").read_text()
    listed = re.findall(
        r"^\| \[(\d{4})\]\(((\d{4})-[\w-]+\.md)\) \| (.*?)(?: \(superseded by \d{4}\))? \|$", page, re.MULTILINE
    )
    assert [file for _, file, _, _ in listed] == sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [file for number, file, own, _ in listed if number != own] == []
    titles = {file: (folder / file).read_text().partition("\n")[0].removeprefix("# ") for _, file, _, _ in listed}
    assert [(file, title) for _, file, _, title in listed if title not in titles[file]] == []
    numbers = [int(number) for number, _, _, _ in listed]
    if len(numbers) < numbers[-1]:
        assert "No record was ever made under the numbers that are missing." in page
