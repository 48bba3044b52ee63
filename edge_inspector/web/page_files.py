"""The files of a page, read once. A request's path never becomes a path on the disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from edge_inspector.web.access import Endpoint

OWN_FILES: Final = files("edge_inspector.web") / "static"
_KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


def served_files(folder: Traversable, pages: Sequence[str] = ()) -> list[Endpoint]:
    """The URLs of the files in `folder`. Each of `pages` is an address of its document."""
    found = []
    for file in folder.iterdir():
        kind = _KINDS.get(file.name.rpartition(".")[2])
        if kind is None:
            continue
        served = _File(file.read_bytes(), kind)
        found.append(Endpoint("GET", f"/static/{file.name}", served.answer, role=None))
        if file.name == "index.html":
            found += [Endpoint("GET", page, _page(page, served).answer, role=None) for page in pages]
        if file.name == "worker.js":  # it may serve only what lies below its own address
            found.append(Endpoint("GET", "/worker.js", served.answer, role=None))
        if file.name == "icon.svg":
            found.append(Endpoint("GET", "/favicon.ico", served.answer, role=None))
    return found


def _page(path: str, document: _File) -> _File:
    """The document for this path. Its links to its own files are relative, so any prefix before the path works."""
    up = b"../" * (path.count("/") - 1)
    return _File(document.body.replace(b'="static/', b'="' + up + b"static/"), _KINDS["html"])


class _File:
    def __init__(self, body: bytes, kind: str) -> None:
        self.body = body
        self._headers = {
            "Content-Type": kind,
            "Cache-Control": "no-cache",
            "ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"',
        }

    async def answer(self, request: Request) -> Response:
        if request.headers.get("if-none-match") == self._headers["ETag"]:
            return Response(status_code=304, headers=self._headers)
        return Response(self.body, headers=self._headers)
