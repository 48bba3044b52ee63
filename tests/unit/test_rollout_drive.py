"""The command's side: a plan, its state, and stations that are off, slow, hostile, or refuse."""

import json
import os
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority

from edge_inspector.cli import main
from edge_inspector.errors import ConfigError, EdgeInspectorError
from edge_inspector.rollout.drive import Drive, lines
from edge_inspector.rollout.state import State, alone, begun, save, state_path
from edge_inspector.rollout.steps import ended, succeeded
from edge_inspector.rollout.tables import read_plan
from edge_inspector.simulation.demo import free_port
from edge_inspector.store.package import digest_of, pack
from edge_inspector.store.signatures import new_key, sign

pytest.importorskip("cryptography")

Says = Callable[[str, str, bytes], "bytes | None"]


def http(body: Any, status: int = 200, more: str = "") -> bytes:
    told = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(told)}\r\n{more}\r\n".encode() + told


class Station:
    """What a station would say, without one behind it. It goes on by one step with every question."""

    def __init__(self, **changes: Any) -> None:
        self.told: dict[str, Any] = {
            "station": "s",
            "accepts": True,
            "most": 1 << 20,
            "arrived": None,
            "trial": None,
            "last": None,
        } | changes
        self.orders: list[str] = []
        self.logins = 0
        self.password = "secret"  # noqa: S105 -- of a station that is none

    def __call__(self, method: str, path: str, body: bytes) -> bytes | None:
        if path == "/api/login":
            self.logins += 1
            if json.loads(body)["password"] != self.password:
                return http({"error": "wrong name or password"}, 401)
            return http({"csrf": "c"}, more="Set-Cookie: edge_inspector_session=t; HttpOnly\r\n")
        if path == "/api/rollout/package":
            self.told["arrived"] = digest_of(body)
            return http({"digest": digest_of(body)})
        if method == "POST":
            self.take(json.loads(body))
        elif self.told["trial"] is not None:
            self.told["trial"] |= {"passed": True}
        return http(self.told)

    def take(self, order: dict[str, Any]) -> None:
        self.orders.append(order["order"])
        step = {"shadow": "shadow", "judge": "judges", "keep": "kept", "back": "back"}[order["order"]]
        trial = {"id": order["id"], "digest": order["digest"], "step": step, "said": ""}
        self.told |= {"trial": None, "last": trial} if step in {"kept", "back"} else {"trial": trial}


class Server(socketserver.TCPServer):
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[Any, Any]:
        request, address = super().get_request()
        try:
            return (request if self.tls is None else self.tls.wrap_socket(request, server_side=True)), address
        except OSError:
            request.close()
            raise


@contextmanager
def serving(says: Says, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    class Visit(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            method, path, _ = self.rfile.readline().decode().split()
            length = 0
            while line := self.rfile.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            answer = says(method, path, self.rfile.read(length))
            if answer is not None:
                self.wfile.write(answer)

    with Server(("127.0.0.1", 0), Visit) as server:
        server.tls = tls
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    new_key(tmp_path / "release.key")
    path = tmp_path / "recipe.toml"
    path.write_text("id = 1\n")
    sign(path, tmp_path / "release.key")
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o600)
    return path


def plan_of(recipe: Path, *addresses: str, more: str = "") -> Path:
    lines = ['what = "recipe.toml"', 'why = "better"', '[login]\npassword_file = "password"']
    lines += ["[ask]\nevery_s = 0.2\ntimeout_s = 2.0", more]
    path = recipe.with_name("plan.toml")
    path.write_text("\n".join([*lines, *(f'[[stations]]\naddress = "{each}"' for each in addresses)]) + "\n")
    return path


def drive(plan: Path, **more: Any) -> tuple[Drive, list[str]]:
    file, told = read_plan(plan), list[str]()
    package = pack(file.what)
    addresses = [each.address for each in file.stations]
    state = begun(state_path(plan), digest=digest_of(package), name=file.what.name, addresses=addresses)
    return Drive(file, package, state.model_copy(update=more), path=state_path(plan), tell=told.append), told


def test_all_steps_at_a_station_with_one_login(recipe: Path) -> None:
    station = Station()
    with serving(station) as address:
        run, told = drive(plan_of(recipe, address))
        run.run(threading.Event())
    assert station.orders == ["shadow", "judge", "keep"]
    assert station.logins == 1
    assert succeeded(run.state)
    assert told == [
        f"{address}: has nothing yet",
        f"{address}: ready",
        f"{address}: shadow",
        f"{address}: shadow, passed",
        f"{address}: judges",
        f"{address}: judges, passed",
        "every station that answers has passed: it is kept",
        f"{address}: kept",
    ]
    assert State.model_validate_json(state_path(recipe.with_name("plan.toml")).read_bytes()) == run.state


def test_the_state_goes_on_where_it_was(recipe: Path) -> None:
    station = Station()
    with serving(station) as address:
        for _ in range(9):
            run, _ = drive(plan_of(recipe, address))
            run.run(threading.Event(), once=True)
            if ended(run.state):
                break
    assert station.orders == ["shadow", "judge", "keep"]
    assert len({run.state.id, json.loads(state_path(recipe.with_name("plan.toml")).read_text())["id"]}) == 1


def test_a_station_that_falls_takes_the_other_back(recipe: Path) -> None:
    bad, good = Station(), Station()
    with serving(bad) as first, serving(good) as second:
        run, told = drive(plan_of(recipe, first, second))
        for _ in range(3):
            run.round()
        assert bad.told["trial"]["step"] == "judges"
        bad.told |= {
            "trial": None,
            "last": bad.told["trial"] | {"step": "back", "said": "9 of 9 were not \x1b accepted"},
        }
        run.run(threading.Event())
    assert good.orders[-1] == "back"
    assert bad.orders == ["shadow", "judge"]
    assert f"goes back everywhere: {first}: 9 of 9 were not \\x1b accepted" in told[-3:]
    assert not succeeded(run.state)


def test_a_wrong_password_is_tried_once(recipe: Path) -> None:
    station = Station()
    station.password = "another"  # noqa: S105 -- of a station that is none
    with serving(station) as address:
        run, told = drive(plan_of(recipe, address))
        run.run(threading.Event())
        run.round()
    assert station.logins == 1
    assert "wrong user or password" in told[-1]


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"accepts": False}, "takes nothing over the network"), ({"most": 10}, "raise rollout.package_mb")],
)
def test_a_station_that_does_not_take_it_is_told_so_before_anything_is_sent(
    recipe: Path, changes: dict[str, Any], why: str
) -> None:
    station = Station(**changes)
    with serving(station) as address:
        run, told = drive(plan_of(recipe, address))
        run.run(threading.Event())
    assert why in told[-1]
    assert (station.orders, station.told["arrived"]) == ([], None)


ANSWERS: dict[str, bytes | None] = {
    "nothing": None,
    "no http": b"SSH-2.0-x\r\n",
    "no json": http(b"<html>"),
    "deep": http(b"[" * 100_000),
    "another thing": http({"a": 1}),
    "an unknown step": http(
        {"station": "s", "accepts": True, "most": 1, "trial": {"id": "x", "digest": "d", "step": "owns"}}
    ),
    "huge": http(b" " * 300_000),
    "cut off": http({"station": "s"})[:-3],
    "a redirect": http(b"{}", 302, "Location: http://192.0.2.1/\r\n"),
    "a header line without end": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
    "an error": http({"error": "x" * 9999 + "\n"}, 500),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_that_is_none_leaves_the_state_as_it_is(recipe: Path, what: str) -> None:
    with serving(lambda *_: ANSWERS[what]) as address:
        run, _ = drive(plan_of(recipe, address))
        for _ in range(2):
            run.round()
    seen = run.state.stations[address]
    assert seen.step is None
    assert seen.off or seen.refused
    assert len(seen.trouble) < 500
    assert "\n" not in seen.trouble


def test_a_station_that_is_off_is_asked_until_it_is_back(recipe: Path) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    station = Station()
    with serving(station) as address:
        run, told = drive(plan_of(recipe, address, away))
        for _ in range(12):
            run.round()
    assert station.orders == ["shadow", "judge", "keep"]
    assert not ended(run.state)
    assert lines(run.state, {})[-1].endswith("does not answer")
    assert not any(away in line for line in told), "nothing has changed there"


@pytest.mark.parametrize("ago", [timedelta(hours=1), timedelta(days=-2)], ids=["expired", "right"])
def test_a_station_whose_certificate_has_expired_is_told_and_gets_nothing(recipe: Path, ago: timedelta) -> None:
    works, station = Authority(), Station()
    recipe.with_name("ca.pem").write_bytes(works.certificate)
    public, private = works.server(ended=ago).write(recipe.parent, "page")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(public, private)
    with serving(station, tls) as address:
        run, told = drive(plan_of(recipe, address, more='tls_ca_file = "ca.pem"'))
        for _ in range(2):
            run.round()
    if ago > timedelta():
        why = f"{address}: its certificate cannot be trusted: certificate has expired"
        assert told == [f"{address}: does not answer: {why}"], "once"
        assert (station.logins, station.orders) == (0, [])
        assert not ended(run.state)
    else:
        assert station.orders == ["shadow"]


def test_two_stations_with_one_name_are_told_once_and_both_served(recipe: Path) -> None:
    one, two = Station(), Station()
    with serving(one) as here, serving(two) as there:
        run, told = drive(plan_of(recipe, here, there))
        for _ in range(12):
            run.round()
    assert one.orders == two.orders == ["shadow", "judge", "keep"]
    (said,) = [line for line in told if "call themselves" in line]
    assert said.startswith(f"{here} and {there} call themselves s: give each station a station.name of its own")


def test_what_was_begun_is_called_back_even_if_the_state_was_lost(recipe: Path) -> None:
    station = Station()
    with serving(station) as address:
        plan = plan_of(recipe, address)
        run, _ = drive(plan)
        for _ in range(2):
            run.round()
        assert station.told["trial"]["step"] == "shadow"
        state_path(plan).unlink()
        assert main(["rollout", str(plan), "--back"]) == 1
    assert station.orders[-1] == "back"
    assert station.told["trial"] is None


def test_a_state_of_another_package_or_a_damaged_one_is_refused(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(recipe, f"http://127.0.0.1:{free_port()}")
    run, _ = drive(plan)
    save(state_path(plan), run.state)
    recipe.write_text("id = 2\n")
    sign(recipe, recipe.with_name("release.key"))
    assert main(["rollout", str(plan)]) == 2
    assert "Give this roll-out a plan file of its own" in capsys.readouterr().err
    state_path(plan).write_text("{")
    assert main(["rollout", str(plan)]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_two_commands_for_one_plan_are_refused(recipe: Path) -> None:
    plan = plan_of(recipe, f"http://127.0.0.1:{free_port()}")
    with (
        alone(state_path(plan)),
        pytest.raises(EdgeInspectorError, match="another `edge-inspector rollout`"),
        alone(state_path(plan)),
    ):
        pass
    assert main(["rollout", str(plan), "--status"]) == 1


@pytest.mark.parametrize(
    ("address", "more", "why"),
    [
        ("http://192.0.2.1:9108", "", "the password could be read on the way"),
        ("ftp://192.0.2.1", "", "must be the address of a station's page"),
        ("https://a:1", '[[stations]]\naddress = "https://a:1"', "is that of stations.0, too"),
        ("https://a:1", 'tls_ca_file = "none.crt"', "is not a file"),
        (
            "https://a:1",
            "\n".join(f'[[stations]]\naddress = "https://{each}:1"\nname = "press 3"' for each in "bc"),
            "press 3 is that of stations.0, too",
        ),
    ],
)
def test_a_plan_with_faults(recipe: Path, address: str, more: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        read_plan(plan_of(recipe, address, more=more))


def test_a_password_that_everybody_can_read(recipe: Path) -> None:
    recipe.with_name("password").chmod(0o644)
    with pytest.raises(ConfigError, match="everybody on this machine can read it"):
        read_plan(plan_of(recipe, "https://a:1"))
    os.truncate(recipe.with_name("password"), 0)
    with pytest.raises(ConfigError, match="has no password in it"):
        read_plan(plan_of(recipe, "https://a:1"))
