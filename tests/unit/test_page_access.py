"""Who may ask the page's server for what, and that nobody can take more than their share."""

import asyncio
import contextlib
import http.client
import json
import logging
import re
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.descriptors import descriptors_left
from support.page import PASSWORD, Page, Visitor, certified, needs_openssl, plant_of, serving

from edge_inspector import metrics
from edge_inspector.store.users import Role, UsersFile, new_user, read_users, write_users
from edge_inspector.web import connection, login, sessions
from edge_inspector.web.access import Access
from edge_inspector.web.app import endpoints
from edge_inspector.web.sessions import Sessions

FILLED = {"upload": "1", "roll": "now", "part": "2", "camera": "cam1", "tag": "en", "recipe": "1"}
OPEN_TO_ALL = {"/api/login", "/api/logout"}


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with serving(plant_of(tmp_path)) as served:
        yield served


@pytest.fixture
def anybody(page: Page) -> Visitor:
    return page.visitor()


def every_url(page: Page) -> list[tuple[str, str, Role | None]]:
    """Method, address with something in its gaps, and the least role."""
    users = UsersFile(page.plant.station.file.web.users)
    held = Sessions(users, 60)
    table = endpoints(page.plant, users, held, Access(held, read_requires_login=False))
    return [
        (entry.method, re.sub(r"{(\w+):\w+}", lambda gap: FILLED[gap[1]], entry.path), entry.role) for entry in table
    ]


def test_every_answer_has_the_security_headers(anybody: Visitor) -> None:
    for path in ("/", "/static/app.js", "/api/station", "/metrics", "/nothing", "/api/parts/99"):
        headers = anybody.ask("GET", path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "", "localhost.evil.example", "127.0.0.1.evil.example", "fe80::1%evil.example"],
)
def test_a_foreign_host_name_is_refused(anybody: Visitor, host: str) -> None:
    assert anybody.ask("GET", "/api/station", Host=host).status == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9108", "127.0.0.1", "192.168.7.4:80", "[::1]:9108", "[::1]"])
def test_addresses_and_the_station_itself_are_known(anybody: Visitor, host: str) -> None:
    assert anybody.ask("GET", "/api/station", Host=host).status == 200


def test_names_in_the_settings_are_known(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, 'hosts = ["Press-7.works"]\n')) as page:
        assert page.visitor().ask("GET", "/", Host="press-7.works").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/../../etc/passwd",
        "/api/parts/2/../../../users/image",
        "/api/parts/2/..%2f..%2fusers/image",
        "/api/parts/99999999999999999999999/cam1/image",
        "/api/parts/" + "9" * 5000,
        "/parts/" + "9" * 5000,
        "/api/parts/-1",
    ],
)
def test_no_address_leads_out_of_the_page(anybody: Visitor, path: str) -> None:
    assert anybody.ask("GET", path).status == 404


def test_who_is_not_logged_in_changes_nothing(page: Page, anybody: Visitor) -> None:
    changing = [(method, path) for method, path, _ in every_url(page) if method != "GET" and path not in OPEN_TO_ALL]
    assert changing
    assert {anybody.ask(method, path, {}).status for method, path in changing} == {401}


def test_a_viewer_changes_nothing(page: Page) -> None:
    viewer = page.visitor(Role.VIEWER)
    changing = [(method, path) for method, path, _ in every_url(page) if method != "GET" and path not in OPEN_TO_ALL]
    assert {viewer.ask(method, path, {}).status for method, path in changing} == {403}


def test_no_other_method_changes_anything(page: Page) -> None:
    admin = page.visitor(Role.ADMIN)
    for method, path, _ in every_url(page):
        for other in {"POST", "PUT", "PATCH", "DELETE"} - {method}:
            if (other, path) not in {(each[0], each[1]) for each in every_url(page)}:
                assert admin.ask(other, path, {}).status == 405, (other, path)


def test_reading_can_be_kept_for_users(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, "read_requires_login = true\n")) as page:
        anybody, viewer = page.visitor(), page.visitor(Role.VIEWER)
        reading = [path for method, path, role in every_url(page) if method == "GET" and role is not None]
        assert "/api/live" in reading
        assert {anybody.ask("GET", path).status for path in reading} == {401}
        assert viewer.ask("GET", "/api/parts").status == 200
        assert anybody.ask("GET", "/").status == 200, "the login dialog must come from somewhere"


def test_a_change_needs_the_token_and_our_own_origin(page: Page) -> None:
    reviewer = page.visitor(Role.REVIEWER)
    label = {"view": "", "label": "good", "class": ""}
    assert reviewer.ask("POST", "/api/parts/2/label", label, X_CSRF_Token="guessed").status == 403  # noqa: S106 -- a wrong one
    assert reviewer.ask("POST", "/api/parts/2/label", label, Origin="http://evil.example").status == 403
    assert reviewer.ask("POST", "/api/login", {}, Origin="null").status == 403
    own = f"http://127.0.0.1:{page.port}"
    assert reviewer.ask("POST", "/api/parts/2/label", label, Origin=own).status == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(anybody: Visitor) -> None:
    cookie = anybody.log_in("admin").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert anybody.ask("GET", "/api/session").json["role"] == "admin"
    anybody.ask("POST", "/api/logout")
    assert anybody.ask("GET", "/api/session").json["role"] is None


def test_a_session_ends_by_itself(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, "session_hours = 0.0001\n")) as page:
        viewer = page.visitor(Role.VIEWER)
        time.sleep(0.4)
        assert viewer.ask("GET", "/api/session").json["role"] is None


@pytest.mark.parametrize("change", ["removed", "role", "password", "file damaged", "file gone"])
def test_a_change_of_a_user_ends_their_sessions_at_once(tmp_path: Path, change: str) -> None:
    with serving(plant_of(tmp_path, "read_requires_login = true\n")) as page:
        viewer, admin = page.visitor(Role.VIEWER), page.visitor(Role.ADMIN)
        stream = viewer.start("GET", "/api/live")
        assert stream.readline().startswith(b"data: ")
        file = tmp_path / "users"
        users = read_users(file)
        if change == "removed":
            del users["viewer"]
        elif change == "role":
            users["viewer"] = replace(users["viewer"], role=Role.REVIEWER)
        else:
            users["viewer"] = new_user("viewer", Role.VIEWER, "another password")
        write_users(file, users)
        if change == "file damaged":
            file.write_text("viewer:king:00:00\n")
        elif change == "file gone":
            file.unlink()
        assert viewer.ask("GET", "/api/session").json["role"] is None
        assert viewer.ask("GET", "/api/parts").status == 401
        stream.read()  # comes to its end, or the connection's timeout fails the test
        others = 401 if change.startswith("file") else 200
        assert admin.ask("GET", "/api/parts").status == others, "nobody else is touched"


def test_a_repaired_users_file_lets_those_go_on_whom_it_still_knows(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path)) as page:
        viewer, file = page.visitor(Role.VIEWER), tmp_path / "users"
        sound = file.read_bytes()
        file.write_text("no user at all\n")
        assert viewer.ask("GET", "/api/session").json["role"] is None
        file.write_bytes(sound)
        assert viewer.ask("GET", "/api/session").json["role"] == "viewer"


def test_guessing_passwords_is_soon_refused(anybody: Visitor) -> None:
    statuses = [anybody.log_in("admin", "wrong password").status for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    assert anybody.log_in("admin", PASSWORD).status == 429, "the right one too: nobody may learn it so"


def test_guesses_that_come_all_at_once_are_counted_one_by_one(page: Page, anybody: Visitor) -> None:
    assert anybody.ask("GET", "/healthz").status == 200
    guess = json.dumps({"name": "admin", "password": "wrong password"}).encode()
    head = b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(guess)
    with contextlib.ExitStack() as held:
        clients = [held.enter_context(socket.create_connection(("127.0.0.1", page.port), 10)) for _ in range(20)]
        for client in clients:
            client.sendall(head)
        time.sleep(0.5)  # each is let in before any has said its password
        for client in clients:
            client.sendall(guess)
        statuses = sorted(client.recv(100).split()[1] for client in clients)
    assert statuses == [b"401"] * 5 + [b"429"] * 15


def test_a_wrong_name_is_answered_like_a_wrong_password(anybody: Visitor) -> None:
    wrong_name = anybody.log_in("nobody", PASSWORD)
    wrong_password = anybody.log_in("admin", "wrong password")
    assert (wrong_name.status, wrong_name.body) == (wrong_password.status, wrong_password.body)
    assert anybody.log_in("admin", "x" * 1000).status == 401


@pytest.mark.parametrize("body", [rb'{"name": "\ud800", "password": ""}', rb'{"name": "admin", "password": "\udfff"}'])
def test_a_text_that_nobody_can_write_is_refused(anybody: Visitor, body: bytes) -> None:
    assert anybody.ask("POST", "/api/login", body).status == 400


def test_failures_are_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch, anybody: Visitor) -> None:
    monkeypatch.setattr(sessions, "_WINDOW_S", 0.5)
    for _ in range(5):
        anybody.log_in("admin", "wrong password")
    time.sleep(0.6)
    assert anybody.log_in("admin").status == 200


def test_there_is_room_for_so_many_screens_only(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, "max_watchers = 2\n")) as page:
        for _ in range(2):
            page.visitor().first_news()
        assert page.visitor().ask("GET", "/api/live").status == 503
        assert page.visitor().ask("GET", "/api/station").status == 200


def test_a_screen_that_takes_nothing_holds_up_nobody_and_is_dropped(
    page: Page, anybody: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_PATIENCE_S", 1.0)
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.settimeout(10)
    stuck.connect(("127.0.0.1", page.port))
    # Answers that nobody takes fill the way: as many as it needs, in one packet.
    stuck.sendall(b"GET /static/texts.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500)
    assert anybody.ask("GET", "/api/station").status == 200
    time.sleep(2.5)
    with stuck, contextlib.suppress(ConnectionResetError):
        while stuck.recv(65536):
            pass


def test_a_connection_that_never_asks_is_dropped(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_PATIENCE_S", 0.5)
    with socket.create_connection(("127.0.0.1", page.port)) as silent:
        silent.settimeout(5)
        silent.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(100) == b""


@pytest.mark.parametrize(
    "junk", [b"\x00\xff" * 50 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000]
)
def test_what_is_no_request_ends_only_its_own_connection(page: Page, anybody: Visitor, junk: bytes) -> None:
    with socket.create_connection(("127.0.0.1", page.port)) as rude:
        rude.settimeout(5)
        rude.sendall(junk)
        assert b" 400 " in rude.recv(1000)
    assert anybody.ask("GET", "/api/station").status == 200


def test_a_stop_does_not_wait_for_those_who_watch(page: Page) -> None:
    for _ in range(3):
        page.visitor().first_news()
    page.worker.stop()
    assert page.worker.join(30)


def test_a_reviewer_commands_nothing(page: Page) -> None:
    assert page.visitor(Role.REVIEWER).ask("POST", "/api/command", {"name": "reset"}).status == 403


def test_silent_clients_take_no_more_than_their_share_of_descriptors(
    page: Page, anybody: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_PATIENCE_S", 1.0)
    assert anybody.ask("GET", "/healthz").status == 200
    before = open_descriptors()
    with silent_clients(page, 160):
        assert open_descriptors() - before <= 160 + 128
        assert anybody.ask("GET", "/healthz").status == 200, "when some were dropped, the next are accepted"


@needs_openssl
def test_silent_clients_are_counted_before_they_have_agreed_on_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_PATIENCE_S", 1.0)
    with serving(plant_of(tmp_path, certified(tmp_path))) as page, contextlib.closing(encrypted(page, tmp_path)) as one:
        one.request("GET", "/healthz")
        assert one.getresponse().status == 200
        before = open_descriptors()
        with silent_clients(page, 160), contextlib.closing(encrypted(page, tmp_path)) as other:
            assert open_descriptors() - before <= 160 + 128
            other.request("GET", "/healthz")
            assert other.getresponse().status == 200


def test_one_user_cannot_end_the_sessions_of_others(tmp_path: Path) -> None:
    users = {name: new_user(name, Role.VIEWER, PASSWORD) for name in ("eva", "adam")}
    write_users(tmp_path / "users", users)
    held = Sessions(UsersFile(tmp_path / "users"), 60.0)
    adams = held.open(users["adam"])
    evas = [held.open(users["eva"]) for _ in range(300)]
    assert held.find(adams.token) is adams
    assert held.find(evas[0].token) is None
    assert held.find(evas[-1].token) is evas[-1]


def test_without_a_file_descriptor_left_it_waits_and_fills_no_log(
    page: Page, anybody: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "_RETRY_S", 0.2)
    assert anybody.ask("GET", "/healthz").status == 200
    with descriptors_left(3), caplog.at_level(logging.WARNING), contextlib.ExitStack() as held:
        for _ in range(2):
            held.enter_context(socket.create_connection(("127.0.0.1", page.port)))
            time.sleep(0.5)
    assert caplog.messages == []
    assert anybody.ask("GET", "/healthz").status == 200


@needs_openssl
def test_with_a_certificate_everything_is_encrypted(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, certified(tmp_path))) as page:
        with contextlib.closing(encrypted(page, tmp_path)) as channel:
            channel.request("POST", "/api/login", json.dumps({"name": "admin", "password": PASSWORD}))
            answer = channel.getresponse()
            assert answer.status == 200
            assert "; secure" in answer.getheader("set-cookie", "").lower()
            assert answer.getheader("strict-transport-security") == "max-age=31536000"
            answer.read()
            channel.request("GET", "/healthz")
            assert channel.getresponse().status == 200
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            page.visitor().ask("GET", "/healthz")


def encrypted(page: Page, folder: Path) -> http.client.HTTPSConnection:
    trusting = ssl.create_default_context(cafile=folder / "page.crt")
    return http.client.HTTPSConnection("127.0.0.1", page.port, timeout=60, context=trusting)


@contextlib.contextmanager
def silent_clients(page: Page, count: int) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        for _ in range(count):
            held.enter_context(socket.create_connection(("127.0.0.1", page.port)))
        time.sleep(0.5)
        yield


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def guess(visitor: Visitor, name: str, count: int, **headers: str) -> list[int]:
    body = {"name": name, "password": "wrong password"}
    return [visitor.ask("POST", "/api/login", body, **headers).status for _ in range(count)]


def test_strangers_do_not_lock_out_a_browser_that_its_user_has_used_before(page: Page, anybody: Visitor) -> None:
    known = page.visitor(Role.ADMIN)
    assert guess(anybody, "admin", 6) == [401] * 5 + [429]
    right = {"name": "admin", "password": PASSWORD}
    assert anybody.ask("POST", "/api/login", right).status == 429
    assert known.ask("POST", "/api/login", right, Cookie=known.device).status == 200
    assert anybody.ask("POST", "/api/login", right, Cookie=known.device.replace("admin", "viewer")).status == 429
    assert guess(anybody, "admin", 6, Cookie=known.device) == [401] * 5 + [429], "it is no way to guess more often"


def test_a_changed_password_makes_the_browser_unknown(page: Page, anybody: Visitor) -> None:
    known = page.visitor(Role.ADMIN)
    path = page.plant.station.file.web.users
    write_users(path, read_users(path) | {"admin": new_user("admin", Role.ADMIN, "another good one")})
    guess(anybody, "viewer", 5)
    right = {"name": "admin", "password": "another good one"}
    assert known.ask("POST", "/api/login", right, Cookie=known.device).status == 429


def test_who_has_an_account_does_not_guess_more_often_by_it(anybody: Visitor) -> None:
    assert guess(anybody, "admin", 4) == [401] * 4
    assert anybody.log_in("viewer").status == 200
    anybody.cookie = ""
    assert guess(anybody, "admin", 2) == [401, 429]


def test_very_many_failures_make_logins_slow_and_lock_nobody_out(
    page: Page, anybody: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_FAILURES_ALL", 5)
    monkeypatch.setattr(sessions, "_FAILURES", 100)
    stood = []
    real = asyncio.sleep

    async def sleep(wait_s: float) -> None:
        if wait_s == login._SLOW_S:
            stood.append(wait_s)
            wait_s = 0.0
        await real(wait_s)

    monkeypatch.setattr(login.asyncio, "sleep", sleep)
    assert guess(anybody, "admin", 5) == [401] * 5
    assert not stood
    assert anybody.log_in("admin").status == 200
    assert stood, "it had to wait"
    known = page.visitor(Role.VIEWER)
    waited = len(stood)
    right = {"name": "viewer", "password": PASSWORD}
    assert known.ask("POST", "/api/login", right, Cookie=known.device).status == 200
    assert len(stood) == waited, "a known browser does not wait"


def test_behind_a_named_proxy_each_client_is_counted_by_itself(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, 'proxies = ["127.0.0.1"]\n')) as page:
        visitor = page.visitor()
        assert guess(visitor, "admin", 6, X_Forwarded_For="9.9.9.9, 10.0.0.1") == [401] * 5 + [429]
        assert guess(visitor, "admin", 1, X_Forwarded_For="10.0.0.1") == [429]
        assert guess(visitor, "admin", 1, X_Forwarded_For="10.0.0.2") == [401]


def test_who_says_to_be_a_proxy_is_not_believed(anybody: Visitor) -> None:
    for number in range(5):
        guess(anybody, "admin", 1, X_Forwarded_For=f"10.0.0.{number}")
    assert guess(anybody, "admin", 1, X_Forwarded_For="10.0.0.9") == [429]


def test_a_failed_login_is_counted_and_its_name_harmless_in_the_log(
    anybody: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    before = metrics.login_failed._value.get()
    with caplog.at_level(logging.WARNING):
        anybody.ask("POST", "/api/login", {"name": "eva\n\x1b[31mCRITICAL", "password": "x"})
    assert metrics.login_failed._value.get() == before + 1
    assert "CRITICAL" in caplog.text
    assert "\x1b" not in caplog.text


def test_one_user_with_very_many_sessions_ends_only_own_ones(tmp_path: Path) -> None:
    path = tmp_path / "users"
    users = {name: new_user(name, Role.VIEWER, PASSWORD) for name in ("eva", "adam")}
    write_users(path, users)
    held = Sessions(UsersFile(path), 60)
    first = held.open(users["eva"])
    tokens = [held.open(users["adam"]).token for _ in range(300)]
    assert held.find(first.token) is not None
    assert sum(held.find(token) is not None for token in tokens) == 16


def test_a_place_is_kept_for_machines_when_people_hold_all_others(page: Page, anybody: Visitor) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(128):
            held.enter_context(socket.create_connection(("127.0.0.1", page.port), 10))
        assert anybody.ask("GET", "/healthz").status == 200
        assert anybody.ask("GET", "/metrics").status == 200
        assert anybody.ask("GET", "/api/station").status == 503


def test_one_machine_holds_so_many_connections_only_and_the_log_says_who(caplog: pytest.LogCaptureFixture) -> None:
    places = connection.Places()
    with caplog.at_level(logging.WARNING):
        taken = [places.take("10.0.0.66") for _ in range(60)]
    assert Counter(taken) == {"shared": 32, "reserved": 2, None: 26}
    assert caplog.messages == ["the page refuses connections: 10.0.0.66 holds 32 of 32"], "once a minute"
    assert places.take("10.0.0.1") == "shared"
    others = [places.take(f"10.0.1.{number}") for number in range(200)]
    assert others.count("shared") == 128 - 33
    places.free("10.0.0.66", "shared")
    assert places.take("10.0.0.2") == "shared"


def test_a_reserved_place_is_soon_free_again(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_RESERVED_S", 0.2)
    with contextlib.ExitStack() as held:
        crowd = [held.enter_context(socket.create_connection(("127.0.0.1", page.port), 10)) for _ in range(136)]
        assert crowd[-1].recv(1) == b""


@pytest.mark.parametrize("host", ["[fe80::1%evil.example]", "fe80::1%25evil.example"])
def test_an_address_with_a_name_in_it_is_none(anybody: Visitor, host: str) -> None:
    assert anybody.ask("GET", "/api/station", Host=host).status == 421


def test_versions_are_for_those_who_are_logged_in(page: Page, anybody: Visitor) -> None:
    assert anybody.ask("GET", "/api/health").json["versions"] == {}
    assert "numpy" in page.visitor(Role.VIEWER).ask("GET", "/api/health").json["versions"]


def test_pictures_are_not_kept_by_the_browser_where_looking_needs_a_login(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, "read_requires_login = true\n")) as page:
        assert page.visitor(Role.VIEWER).ask("GET", "/api/parts/2/thumb").headers["cache-control"] == "no-store"


@needs_openssl
def test_a_renewed_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    def shown(port: int) -> str:
        return ssl.get_server_certificate(("127.0.0.1", port))

    with serving(plant_of(tmp_path, certified(tmp_path))) as page:
        before = shown(page.port)
        certified(tmp_path)
        until_s = time.monotonic() + 20
        while shown(page.port) == before:
            assert time.monotonic() < until_s
            time.sleep(0.1)
