"""Server-sent events, four times a second: one message for all watchers, and none if there are no watchers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)

_INTERVAL_S = 0.25


class Broadcast:
    """`news()` makes a message. `whole(news)` makes the full one for a watcher that missed the last one.

    A stream ends when `may_watch` is no longer true for its watcher.
    """

    def __init__(
        self,
        news: Callable[[], dict[str, Any]],
        whole: Callable[[dict[str, Any]], dict[str, Any]],
        may_watch: Callable[[Request], bool],
        limit: int,
    ) -> None:
        self._news = news
        self._whole = whole
        self._may_watch = may_watch
        self._limit = limit
        self._watchers = 0
        self._number = 0
        self._message = b""
        self._latest: dict[str, Any] = {}
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def answer(self, request: Request) -> Response:
        """A stream for one more watcher, or 503 if there are enough."""
        if self._watchers >= self._limit:
            return JSONResponse({"error": "too many screens are open already"}, 503, headers={"Retry-After": "10"})
        return _Stream(self, request)

    async def watch(self, request: Request, receive: Receive, send: Send) -> None:
        """Send messages until the client leaves. A client that is too slow misses some and then gets the full one."""
        self._watchers += 1
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())
            self._task.add_done_callback(_tell_of_failure)
        gone, task = asyncio.ensure_future(_disconnect(receive)), self._task
        told, missed = self._number, True
        try:
            while not gone.done() and self._task is task and self._may_watch(request):
                if self._number == told:
                    async with self._changed:
                        await self._changed.wait()
                    continue
                missed = missed or self._number != told + 1
                body = _event(self._whole(self._latest)) if missed else self._message
                told, missed = self._number, False
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._watchers -= 1

    async def _run(self) -> None:
        try:
            while self._watchers:
                self._latest = self._news()
                self._message = _event(self._latest)
                self._number += 1
                await self._wake()
                await asyncio.sleep(_INTERVAL_S)
        finally:
            self._task = None
            await self._wake()

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class _Stream(Response):
    media_type = "text/event-stream"

    def __init__(self, broadcast: Broadcast, request: Request) -> None:
        super().__init__()
        self._broadcast = broadcast
        self._request = request
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await self._broadcast.watch(self._request, receive, send)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(message: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(message, separators=(",", ":")).encode() + b"\n\n"


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("the live page failed", exc_info=task.exception())
