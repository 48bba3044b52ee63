"""For `make site`: a file outside docs/ that a page links to becomes part of the site.

On GitHub a link such as `../deploy/plc/README.md` works as it is, but a site ends at its own folder. Each file of the
repository that a page or the navigation names therefore joins the site under its path in the repository. Markdown
becomes a page, and the files that this page links to join as well. Every other file is offered as it is.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|[#/])([^)\s#]+)")


def on_config(config: MkDocsConfig) -> None:
    """Add a line for each decision to the navigation."""
    decisions = sorted(f"decisions/{path.name}" for path in (ROOT / "docs" / "decisions").glob("0*.md"))
    for section in config.nav or []:
        if "Decisions" in section:
            section["Decisions"] = ["decisions/README.md", *decisions]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the files outside docs/."""
    waiting = [*_named(config.nav), *(file.src_uri for file in files.documentation_pages())]
    seen: set[str] = set()
    while waiting:
        uri = waiting.pop()
        if uri in seen or not _source(uri).is_file():
            continue
        seen.add(uri)
        if files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, abs_src_path=str(_source(uri))))
        if uri.endswith(".md"):
            waiting += [_site_uri(uri, target) for target in LINK.findall(_source(uri).read_text(encoding="utf-8"))]


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Change each link to the place of its target within the site."""
    here = page.file.src_uri

    def moved(link: re.Match[str]) -> str:
        return posixpath.relpath(_site_uri(here, link[1]), posixpath.dirname(here) or ".")

    return LINK.sub(moved, markdown)


def _named(nav: Any) -> Iterator[str]:
    """The files that the navigation names."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict | list):
        for entry in nav.values() if isinstance(nav, dict) else nav:
            yield from _named(entry)


def _site_uri(page: str, target: str) -> str:
    """The target of a page's link within the site. A folder means its README.md, the project's means index.md."""
    path = posixpath.normpath((_source(page).parent / target).as_posix())
    if Path(path).is_dir():
        path = f"{path}/README.md"
    if path == f"{ROOT.as_posix()}/README.md":
        return "index.md"
    for root in (ROOT / "docs", ROOT):
        if path.startswith(f"{root.as_posix()}/"):
            return path.removeprefix(f"{root.as_posix()}/")
    return path


def _source(uri: str) -> Path:
    """The file of the repository behind a path of the site."""
    inside = ROOT / "docs" / uri
    return inside if inside.exists() else ROOT / uri
