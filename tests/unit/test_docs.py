import ast
import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from edge_inspector.errors import ConfigError
from edge_inspector.inspection.recipe import read_recipe
from edge_inspector.simulation.station_files import models_dir
from edge_inspector.station.load import load_station
from edge_inspector.station.tables import StationFile

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_code_says(generator: ModuleType) -> None:
    assert (ROOT / "docs" / "reference.md").read_text() == generator.reference(), "run `make docs`"


def test_the_asyncapi_document_is_what_the_code_says(generator: ModuleType) -> None:
    assert (ROOT / "docs" / "asyncapi.yaml").read_text() == generator.asyncapi(), "run `make docs`"


def test_the_block_tables_are_what_the_code_says(generator: ModuleType) -> None:
    page = (ROOT / "docs" / "plc.md").read_text()
    assert page == generator.block_tables(page), "run `make docs`"


def test_the_page_has_the_sentences_about_error_codes(generator: ModuleType) -> None:
    texts = generator.ENGLISH.read_text()
    assert texts == generator.english(texts), "run `make docs`, then translate de.json"
    assert "Camera {name} does not answer." in texts


def test_the_drawing_of_the_architecture_is_the_pipelines_own() -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / "edge_inspector" / "pipeline.py").read_text())) or ""
    _, _, drawing = docstring.partition("\n\n")
    assert f"```\n{drawing}\n```" in (ROOT / "docs" / "architecture.md").read_text(), "quote it as it is"


def test_the_architecture_names_the_thread_of_every_stage() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    listed = set(re.findall(r"^\| ([\w-]+) \|", page.partition("## Threads")[2].partition("\n## ")[0], re.MULTILINE))
    stages = [*(ROOT / "edge_inspector" / "stages").glob("*.py"), ROOT / "edge_inspector" / "web" / "server.py"]
    named = re.findall(r'^ +(?:self\.)?name = f?"([\w-]+)', "".join(map(Path.read_text, stages)), re.MULTILINE)
    assert {name.partition("-")[0] for name in named} == {name.partition("-")[0] for name in listed} - {
        "thread",
        "window",
        "log",
    }


def test_every_test_that_safety_md_names_exists() -> None:
    page = (ROOT / "docs" / "safety.md").read_text()
    named = {word.strip("|") for word in page.split() if word.startswith("tests/")}
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_assumption_of_safety_md_names_its_test_or_says_that_there_is_none() -> None:
    section = (ROOT / "docs" / "safety.md").read_text().partition("## Assumptions about the other side")[2]
    _, *rows = re.findall(r"^\| (.*) \|$", section.partition("\n## ")[0], re.MULTILINE)
    cells = [row.split(" | ") for row in rows]
    assert cells
    assert [row for row in cells if len(row) != 4 or not (row[3] == "none" or row[3].startswith("tests/"))] == []


def test_every_link_between_our_pages_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in _links(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_shipped_recipe_is_valid() -> None:
    assert read_recipe(ROOT / "deploy" / "recipe.toml").views == ["top"]


def test_the_shipped_station_is_valid_on_paper() -> None:
    StationFile.model_validate(tomllib.loads((ROOT / "deploy" / "station.toml").read_text()))


def test_the_shipped_station_and_recipe_fit_the_shipped_model(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "station.toml").read_text()
    (tmp_path / "station.toml").write_text(text.replace("/opt/edge-inspector/models", str(models_dir())))
    (tmp_path / "recipe.toml").write_text((ROOT / "deploy" / "recipe.toml").read_text())
    try:
        station = load_station(tmp_path / "station.toml")
    except ConfigError as error:
        pytest.fail(str(error))
    assert "crack" in station.limits


def _links(text: str) -> list[str]:
    targets = [part.split(")")[0].split("#")[0] for part in text.split("](")[1:]]
    return [target for target in targets if target and "://" not in target]
