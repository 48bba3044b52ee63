"""What the page writes. It waits in the logbook's mailbox, so that the page's own thread never waits for the disk."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request

from edge_inspector import metrics
from edge_inspector.errors import DeviceError
from edge_inspector.records import Change
from edge_inspector.stages.logbook import Errand
from edge_inspector.store.logbook import LogbookWriter
from edge_inspector.web.access import Access, RequestError
from edge_inspector.web.answer import answer_of
from edge_inspector.web.plant import Plant

_ANSWER_S = 5.0


async def written(plant: Plant, do: Callable[[LogbookWriter], object]) -> object:
    """The result of `do`, which runs in the logbook's thread. Raises RequestError if it cannot be written now."""

    def ask(done: Callable[[object], None]) -> None:
        if plant.write(Errand(do, done)) is not None:
            raise RequestError(503, "too many changes at once: try again")

    try:
        result = await answer_of(ask, _ANSWER_S)
    except TimeoutError as error:
        raise RequestError(504, "the disk did not answer: look whether it was stored") from error
    if isinstance(result, DeviceError):
        raise RequestError(503, str(result)) from result
    return result


def changed(plant: Plant, user: str, what: str, *, subject: str = "", **values: str) -> None:
    """Write down in the audit file what this user of the page changed."""
    if plant.keep(Change(f"page:{user}", what, subject, **values)) is not None:
        metrics.archive_left_out.labels("change").inc()


def user_of(access: Access, request: Request) -> str:
    """The name of the sender."""
    session = access.session(request)
    return session.name if session else ""
