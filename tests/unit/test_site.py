"""`make site`: strict about links, complete, and without anything from elsewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=folder,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build(ROOT, folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the site is made of, to be spoilt."""
    for name in ["docs", "deploy", "models", "benchmarks"]:
        kept = shutil.ignore_patterns("*.onnx", "results", ".envs", "__pycache__", "containers", "*.png")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=kept if name != "docs" else None)
    for name in ["mkdocs.yml", "CONTRIBUTING.md", "CHANGELOG.md"]:
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_page_and_every_linked_file_is_in_the_site(site: Path) -> None:
    pages = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")]
    names = [page.with_name("index.html") if page.stem == "README" else page.with_suffix(".html") for page in pages]
    assert [name for name in names if not (site / name).exists()] == []
    assert (site / "deploy" / "plc" / "index.html").exists()
    assert (site / "deploy" / "prometheus" / "rules.yml").exists()


def test_the_search_knows_the_pages_outside_of_docs(site: Path) -> None:
    index = (site / "search" / "search_index.json").read_text()
    assert '"location":"safety.html' in index
    assert '"location":"benchmarks/index.html' in index


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r"<(?:script|img|iframe|link)[^>]*?(?:src|href)=[\"']?(?:https?:)?//[^\"' >]+")
    for page in site.rglob("*.html"):
        assert loaded.findall(page.read_text()) == [], page


@pytest.mark.parametrize(
    "link", ["nowhere.md", "../deploy/nowhere.yml", "../edge_inspector/nowhere.py", "safety.md#nowhere"]
)
def test_a_link_that_leads_nowhere_stops_the_build(copy: Path, link: str) -> None:
    with (copy / "docs" / "index.md").open("a") as page:
        page.write(f"\n[broken]({link})\n")
    built = build(copy, copy / "site")
    assert built.returncode != 0
    assert "nowhere" in built.stdout + built.stderr


def test_a_page_that_the_navigation_lacks_stops_the_build(copy: Path) -> None:
    (copy / "docs" / "new.md").write_text("# New\n")
    assert build(copy, copy / "site").returncode != 0
