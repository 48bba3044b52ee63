"""Sessions that nobody uses, slow hashes, certificates that expire, and what is for machines."""

import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.page import PASSWORD, Page, certified, needs_openssl, plant_of, serving, users

from edge_inspector import metrics
from edge_inspector.codes import ErrorCode, StationState
from edge_inspector.runtime.clock import moment
from edge_inspector.store import users as users_file
from edge_inspector.store.users import Role, UsersFile, authenticate, new_user, read_users, write_users
from edge_inspector.web import sessions
from edge_inspector.web.certificate import expiry
from edge_inspector.web.sessions import Sessions

TOKEN = "0123456789abcdef0123"  # noqa: S105 -- of a station that tests make


def test_a_session_that_nobody_uses_ends_but_not_that_of_a_screen_on_the_wall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now[0])
    write_users(tmp_path / "users", users())
    held = Sessions(UsersFile(tmp_path / "users"), 8 * 3600, 600)
    admin, operator, viewer = (held.open(users()[name]).token for name in ("admin", "operator", "viewer"))
    now[0] += 500
    held.used(admin)
    assert held.find(operator) is not None, "to ask is not to use"
    now[0] += 200
    assert [held.find(token) is not None for token in (admin, operator, viewer)] == [True, False, True]
    held.used(operator)
    assert held.find(operator) is None, "what has ended stays so"


def test_only_people_keep_a_session_alive_not_pages_that_ask_by_themselves(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, "idle_minutes = 0.02\n")) as page:
        idle, used = page.visitor(Role.ADMIN), page.visitor(Role.ADMIN)
        end = time.monotonic() + 10
        while idle.ask("GET", "/api/health").json["versions"]:  # asks all the time
            assert used.ask("GET", "/api/session").json["name"] == "admin"
            assert time.monotonic() < end
            time.sleep(0.02)
        assert idle.ask("POST", "/api/counters", {"kind": "reset"}).status == 401


def test_hashes_of_before_are_still_known_and_new_ones_take_longer(tmp_path: Path) -> None:
    old, new = new_user("old", Role.VIEWER, PASSWORD, rounds=1), new_user("new", Role.ADMIN, PASSWORD)
    write_users(tmp_path / "users", {"old": old, "new": new})
    lines = (tmp_path / "users").read_text().splitlines()[1:]
    assert [line.count(":") for line in lines] == [3, 4]
    assert lines[1].endswith(":5")
    known = read_users(tmp_path / "users")
    assert known == {"old": old, "new": new}
    assert authenticate(known, "old", PASSWORD) == old
    assert authenticate(known, "new", PASSWORD) == new


def test_the_time_of_a_wrong_guess_tells_nothing_about_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"old": new_user("old", Role.VIEWER, PASSWORD, rounds=1), "new": new_user("new", Role.VIEWER, PASSWORD)}
    spent: list[int] = []

    def count(_password: str, _salt: bytes, rounds: int) -> bytes:
        spent.append(rounds)
        return b""

    monkeypatch.setattr(users_file, "_digest", count)
    for name in ("old", "new", "nobody"):
        spent.clear()
        assert authenticate(known, name, "wrong password") is None
        assert sum(spent) == 5, name


@pytest.mark.parametrize("rounds", ["0", "17", "-1", "x", "9" * 5000])
def test_a_hash_of_senseless_cost_lets_nobody_in(rounds: str) -> None:
    line = f"{new_user('eva', Role.ADMIN, PASSWORD, rounds=1)}:{rounds}"
    assert users_file._parsed(line) is None


def test_the_page_answers_while_a_password_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checking, answered = threading.Event(), threading.Event()

    def check(*_: object) -> None:
        checking.set()
        assert answered.wait(20)

    monkeypatch.setattr("edge_inspector.web.login.authenticate", check)
    with serving(plant_of(tmp_path)) as page:
        guess = threading.Thread(target=lambda: page.visitor().log_in("admin"))
        guess.start()
        assert checking.wait(20)
        assert page.visitor().ask("GET", "/healthz").status == 200
        assert page.visitor().ask("GET", "/api/parts").status == 200
        answered.set()
        guess.join()


@needs_openssl
@pytest.mark.parametrize("days", [10, 12_000])
def test_the_end_of_a_certificate_is_the_one_that_others_read(tmp_path: Path, days: int) -> None:
    certified(tmp_path, days)
    assert abs(expiry(tmp_path / "page.crt") - moment().utc - timedelta(days=days)) < timedelta(minutes=10)
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", str(tmp_path / "page.crt")],
        check=True,
        capture_output=True,
        text=True,
    )
    named = datetime.strptime(said.stdout.strip().partition("=")[2], "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    assert expiry(tmp_path / "page.crt") == named


@needs_openssl
def test_of_a_chain_the_first_end_counts_and_what_is_cut_off_is_an_error(tmp_path: Path) -> None:
    certified(tmp_path, 100)
    late = (tmp_path / "page.crt").read_text()
    certified(tmp_path, 5)
    early, path = (tmp_path / "page.crt").read_text(), tmp_path / "page.crt"
    path.write_text(late + early)
    assert expiry(path) - moment().utc < timedelta(days=6)
    body = early.splitlines()
    for damaged in ("", "no certificate", "\n".join([body[0], *body[1:3], body[-1]]), f"{body[0]}\nAAAA\n{body[-1]}"):
        path.write_text(damaged)
        with pytest.raises(ValueError, match=r"."):
            expiry(path)


@needs_openssl
def test_a_certificate_that_ends_soon_is_told_until_it_is_renewed(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, certified(tmp_path))) as page:
        wait_until(lambda: page.conditions.held(ErrorCode.CERTIFICATE_ENDS, "page.crt"))
        assert page.conditions.state is StationState.READY
        assert certificate_expires() - moment().utc.timestamp() < 3 * 86400
        certified(tmp_path, 90)
        wait_until(lambda: not page.conditions.held(ErrorCode.CERTIFICATE_ENDS, "page.crt"))
        assert certificate_expires() - moment().utc.timestamp() > 80 * 86400


def certificate_expires() -> float:
    return metrics.REGISTRY.get_sample_value("edge_inspector_certificate_expires_seconds") or 0.0


def wait_until(holds: Any) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def closed(tmp_path: Path) -> Any:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    return plant_of(tmp_path, 'machines_token_file = "token"\n', (False, {"state": "fault", "reasons": ["secret"]}))


def test_with_a_token_machines_and_users_read_and_strangers_learn_the_state_only(closed: Any) -> None:
    with serving(closed) as page:
        for headers in (
            {},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": TOKEN},
            {"Authorization": "Bearer "},
        ):
            assert page.visitor().ask("GET", "/metrics", **headers).status == 401
            answer = page.visitor().ask("GET", "/healthz", **headers)
            assert (answer.status, answer.json) == (503, {"state": "fault"})
        for reads in (
            lambda path: page.visitor().ask("GET", path, Authorization=f"Bearer {TOKEN}"),
            lambda path: page.visitor(Role.VIEWER).ask("GET", path),
        ):
            assert reads("/metrics").status == 200
            assert reads("/healthz").json["reasons"] == ["secret"]


@pytest.mark.parametrize("content", ["", "short", "with a blank in it 123456", "ä" * 20])
def test_a_token_that_is_none_is_a_fault(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(Exception, match=r"web\.machines_token_file: .*openssl rand -hex 16"):
        plant_of(tmp_path, 'machines_token_file = "token"\n')


def test_a_page_without_a_token_is_as_open_as_before(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, "read_requires_login = true\n")) as page:
        assert healthy(page)


def healthy(page: Page) -> bool:
    return page.visitor().ask("GET", "/metrics", Authorization="Bearer x").status == 200
