"""A page that cannot listen says why and tries again: it is no verdict, and ends nothing."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.errors import DeviceError
from edge_inspector.runtime.conditions import Conditions
from edge_inspector.runtime.worker import Worker
from edge_inspector.simulation.demo import free_port
from edge_inspector.station.tables import WebTable
from edge_inspector.web.server import Web, listen


async def answer(_scope: object, _receive: object, _send: object) -> None:
    """An application that says nothing."""


@contextmanager
def served(settings: WebTable) -> Iterator[tuple[Worker, Conditions]]:
    conditions = Conditions(patience_s=0.0)
    conditions.phase(StationState.READY)
    worker = Worker(Web(settings, lambda: answer, conditions))
    worker.start()
    try:
        yield worker, conditions
    finally:
        worker.stop()
        assert worker.join(10)
        assert worker.error is None


def wait_until(holds: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until_s, "not within the time"
        time.sleep(0.01)


def test_a_port_that_is_taken_is_told_and_taken_up_when_it_is_free() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as holder, served(WebTable(port=port)) as (worker, conditions):
        wait_until(lambda: conditions.holds(ErrorCode.PAGE_LOST))
        (held,) = conditions.reasons()
        assert held.why.startswith(f"web.port {port} on 127.0.0.1 is taken by another program (ss -ltnp shows which)")
        assert conditions.state is StationState.DEGRADED
        assert worker.alive
        holder.close()
        wait_until(lambda: not conditions.holds(ErrorCode.PAGE_LOST))
        socket.create_connection(("127.0.0.1", port), 5).close()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": "192.0.2.55"}, r"web\.host 192\.0\.2\.55 is not an address of this machine now. Is its network up\?"),
        ({"host": "no-such-host.invalid"}, r"web\.host 'no-such-host\.invalid' is known to no name server"),
        ({"host": "2001:db8::1"}, r"web\.host 2001:db8::1 "),
    ],
)
def test_an_address_that_is_not_there_is_told_with_what_to_do(settings: dict[str, str], words: str) -> None:
    with pytest.raises(DeviceError, match=words):
        listen(WebTable(port=free_port(), **settings))  # type: ignore[arg-type] -- texts only


def test_a_port_without_the_right_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refused)
    with pytest.raises(DeviceError, match=r"web\.port 80 needs rights that this user has not: set web\.port to 1024"):
        listen(WebTable(port=80))


def test_another_fault_is_told_in_the_systems_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(105, "No buffer space available")

    monkeypatch.setattr(socket.socket, "bind", refused)
    with pytest.raises(DeviceError, match=r"web\.host 127\.0\.0\.1, web\.port 9108: No buffer space available"):
        listen(WebTable())
