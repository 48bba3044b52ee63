"""Waits for the answer of another thread, without blocking the page."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


async def answer_of(ask: Callable[[Callable[[Answer], None]], object], within_s: float) -> Answer:
    """What the other thread answers. `ask(done)` asks it, and it calls `done` once. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Answer] = loop.create_future()

    def answer(found: Answer) -> None:
        if not answered.done():
            answered.set_result(found)

    def done(found: Answer) -> None:
        with contextlib.suppress(RuntimeError):  # the page's loop may have ended meanwhile
            loop.call_soon_threadsafe(answer, found)

    ask(done)
    return await asyncio.wait_for(answered, within_s)
