"""What the pages quote exists: commands parse, settings are settings, links and their anchors lead somewhere."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from edge_inspector.cli import build_parser
from edge_inspector.drivers import FAMILIES, load_driver
from edge_inspector.fleet.tables import FleetFile
from edge_inspector.inspection.recipe import Recipe
from edge_inspector.rollout.tables import PlanFile
from edge_inspector.segmenters.manifest import Manifest
from edge_inspector.station.tables import StationFile
from edge_inspector.training.data.index_file import INDEX, read_index

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("*/*/README.md"),
    ]
    if ".venv" not in page.parts
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PREFIXES = [[], ["sudo"], ["sudo", "-u", "edge-inspector"], ["docker", "compose", "exec", "station"]]
FAMILY_OF = {"cameras": "cameras", "plcs": "plcs", "encoder": "encoders", "segmenter": "segmenters"}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(page.read_text()) if kind == language]


def inline(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text()))


def quoted_commands(page: Path) -> Iterator[list[str]]:
    """The arguments of each `edge-inspector ...` and of each `make demo` on a page."""
    lines = [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    for line in [*lines, *inline(page)]:
        for part in re.split(r"&&|[|;<>]", line.split(" # ")[0].split("  #")[0]):
            words = shlex.split(part, comments=True) if part.count('"') % 2 == 0 else []
            for prefix in PREFIXES:
                if words[: len(prefix)] == prefix and _is_program(words[len(prefix) :]):
                    yield words[len(prefix) + 1 :]
            if words[:2] == ["make", "demo"]:
                extra = [word.removeprefix("ARGS=") for word in words if word.startswith("ARGS=")]
                yield ["demo", *shlex.split(" ".join(extra))]


def _is_program(words: list[str]) -> bool:
    return bool(words) and words[0].split("/")[-1] == "edge-inspector" and (len(words) > 1 or "/" not in words[0])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_line_is_one_that_the_program_takes(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in quoted_commands(page):
        try:
            build_parser().parse_args(words)
        except SystemExit as end:
            said = capsys.readouterr().err
            # Named rather than quoted: `edge-inspector check`, `edge-inspector cameras --snapshot`.
            named = any(told in said for told in ("arguments are required", "is required", "expected one argument"))
            if end.code and not named:
                pytest.fail(f"edge-inspector {' '.join(words)}: {said}")


def test_command_lines_are_found_where_there_are_some() -> None:
    found = [words for page in PAGES for words in quoted_commands(page)]
    assert ["check", "station.toml"] in found
    assert ["demo", "--parts", "300", "--report", "r.json"] in found


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not None:
        for each in get_args(annotation):
            yield from models_in(each)


def faults(table: dict[str, Any], model: type[BaseModel], where: str) -> Iterator[str]:
    """The keys of a quoted table, as far down as there are models, that the model does not have."""
    for key, value in table.items():
        if key not in model.model_fields:
            yield f"{where}{key}"
            continue
        for inner in models_in(model.model_fields[key].annotation):
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    tables = each.values() if _is_mapping(model, key) else [each]
                    for below in chain.from_iterable(one if isinstance(one, list) else [one] for one in tables):
                        yield from faults(below, inner, f"{where}{key}.")


def _is_mapping(model: type[BaseModel], key: str) -> bool:
    return get_origin(model.model_fields[key].annotation) is dict


def driver_faults(document: dict[str, Any]) -> Iterator[str]:
    for key, family in FAMILY_OF.items():
        tables = document.get(key, [])
        for table in tables if isinstance(tables, list) else [tables]:
            if "driver" in table:
                settings = load_driver(family, table["driver"]).Settings
                yield from faults(table.get("settings", {}), settings, f"{key}.settings.")


# The drivers of driver.md are installed by tests/system/test_driver_plugin.py only.
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "driver.md"], ids=name_of)
def test_every_key_in_a_quoted_toml_is_a_setting(page: Path) -> None:
    for text in blocks(page, "toml"):
        document = tomllib.loads(text)
        if "sha256" in text:
            Manifest.model_validate(document)
            continue
        fits = [model for model in (StationFile, FleetFile, PlanFile) if set(document) <= set(model.model_fields)]
        model = fits[0] if fits else StationFile if set(document) & set(StationFile.model_fields) else Recipe
        assert [*faults(document, model, ""), *driver_faults(document)] == []


QUOTED_INDEXES = [
    pytest.param(text, id=name_of(page)) for page in PAGES for text in blocks(page, "text") if text.startswith("image,")
]


@pytest.mark.parametrize("text", QUOTED_INDEXES)
def test_a_quoted_index_is_one_that_the_training_reads(text: str, tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text(text)
    for name in re.findall(r"\w+/\w+\.png", text):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert {row["label"] for row in read_index(tmp_path)} == {"0", "1"}


def test_the_pages_on_models_quote_an_index() -> None:
    assert [case.id for case in QUOTED_INDEXES] == ["docs/how-to/model.md", "docs/models.md"]


def every_key() -> set[str]:
    """The names of all settings, of station, recipe and drivers."""
    found: set[str] = set()
    waiting: list[type[BaseModel]] = [StationFile, Recipe]
    waiting += [load_driver(family, driver).Settings for family, drivers in FAMILIES.items() for driver in drivers]
    while waiting:
        for key, field in waiting.pop().model_fields.items():
            found.add(key)
            waiting += models_in(field.annotation)
    return found


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name not in {"decisions", "plc"}], ids=name_of)
def test_every_setting_named_in_the_text_exists(page: Path) -> None:
    tables = {name: next(models_in(field.annotation)) for name, field in StationFile.model_fields.items()}
    for code in inline(page):
        if match := re.fullmatch(r"([a-z]+)\.([a-z_0-9]+)(?: = .*)?", code):
            table, key = match.groups()
            assert table not in tables or key in tables[table].model_fields or key in {"toml", "py"}, code
        elif match := re.fullmatch(r"([a-z_]+) = (?:[\d.]+|true|false|\".*\"|\[.*\])", code):
            assert match.group(1) in every_key(), code


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_page_and_to_a_heading_of_it(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


def anchors(page: Path) -> set[str]:
    """As GitHub makes them: small letters, spaces to hyphens, other signs gone."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_table_of_contents() -> None:
    docs = ROOT / "docs"
    listed = {(docs / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)\)", (docs / "index.md").read_text())}
    pages = {*docs.glob("*.md"), *(docs / "how-to").glob("*.md")} - {docs / "index.md"}
    assert pages - listed == set()
