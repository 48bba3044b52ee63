"""The texts of the page, one file per language. A station may add languages, texts and names of defect classes."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_inspector.web.access import Endpoint

log = logging.getLogger(__name__)

FIRST = "en"  # complete. A text that another language does not have is shown in this one
_TAG = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,8})?")
_LARGEST_FILE = 512 * 1024
_LONGEST_TEXT = 1000
_LONGEST_KEY = 400  # `class.` and the name of a class
_MOST_FILES = 64


@dataclass(frozen=True, slots=True)
class Language:
    """The texts of one language by key. `direction` is `ltr` or `rtl`."""

    tag: str
    texts: Mapping[str, str]

    @property
    def name(self) -> str:
        """The language in its own words."""
        return self.texts.get("language.name", self.tag)

    @property
    def direction(self) -> str:
        """The writing direction."""
        return "rtl" if self.texts.get("language.direction") == "rtl" else "ltr"


class Languages:
    """The URL /api/languages/TAG. It tells one language whole, and which others there are.

    `more` are folders with texts of another page that uses the same scripts.
    """

    def __init__(self, folder: Path, *more: Traversable) -> None:
        self._known = read_languages(folder, *more)

    def endpoints(self) -> Sequence[Endpoint]:
        """The URLs of this class. They need no login, because the login itself needs texts."""
        return [Endpoint("GET", "/api/languages/{tag:str}", self._tell, role=None)]

    async def _tell(self, request: Request) -> Response:
        chosen = self._best(request.path_params["tag"])
        return JSONResponse(
            {
                "tag": chosen.tag,
                "direction": chosen.direction,
                "texts": {**self._known[FIRST].texts, **chosen.texts},
                "languages": [{"tag": each.tag, "name": each.name} for each in self._known.values()],
            }
        )

    def _best(self, tag: str) -> Language:
        return self._known.get(tag) or self._known.get(tag.partition("-")[0]) or self._known[FIRST]


def read_languages(folder: Path, *more: Traversable) -> dict[str, Language]:
    """The page's own languages, changed and extended by the files in `folder`. A file that is wrong is left out."""
    found: dict[str, Language] = {}
    for own in (files("edge_inspector.web") / "languages", *more):
        for file in sorted(own.iterdir(), key=lambda file: (file.name != f"{FIRST}.json", file.name)):
            tag = file.name.removesuffix(".json")
            before = found[tag].texts if tag in found else {}
            found[tag] = Language(tag, {**before, **json.loads(file.read_bytes())})
    for tag, texts in _added(folder):
        before = found[tag].texts if tag in found else {}
        found[tag] = Language(tag, {**before, **texts})
    return found


def _added(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    for path in sorted(folder.glob("*.json"))[:_MOST_FILES]:
        tag = path.name.removesuffix(".json")
        try:
            if not _TAG.fullmatch(tag):
                raise ValueError("a file must be called after its language, as pt.json or pt-BR.json")  # noqa: TRY301
            yield tag, _texts(path)
        except (OSError, ValueError, RecursionError) as error:
            log.warning("language file %s is left out: %s", path, error)


def _texts(path: Path) -> dict[str, str]:
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"has more than {_LARGEST_FILE} bytes")
    texts = json.loads(path.read_bytes())
    if not isinstance(texts, dict):
        raise ValueError('must be one JSON object, as {"state.ready": "..."}')  # noqa: TRY004 -- a fault of the file
    for key, text in texts.items():
        if not isinstance(text, str) or len(text) > _LONGEST_TEXT or len(key) > _LONGEST_KEY:
            raise ValueError(f"{key[:40]!r}: must be a text of at most {_LONGEST_TEXT} characters")
        text.encode()  # a lone surrogate cannot be sent
        key.encode()
    return texts
