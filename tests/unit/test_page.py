"""The page's server: who may ask for what, what comes, and that nobody can take more than their share."""

import contextlib
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from page import PASSWORD, Page, Visitor, plant_of, serving

from edge_inspector.records import ErrorCode
from edge_inspector.web import connection, sessions
from edge_inspector.web.access import Access
from edge_inspector.web.app import entries
from edge_inspector.web.sessions import Sessions
from edge_inspector.web.users import Role

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
    held = Sessions(60)
    table = entries(page.plant, held, Access(held, read_requires_login=False))
    return [
        (entry.method, entry.path.replace("{part:int}", "2").replace("{camera:str}", "cam1"), entry.role)
        for entry in table
    ]


def first_event(visitor: Visitor) -> dict[str, object]:
    line = visitor.start("GET", "/api/live").readline()
    event: dict[str, object] = json.loads(line.removeprefix(b"data: "))
    return event


def test_machines_read_health_and_metrics(anybody: Visitor) -> None:
    health = anybody.ask("GET", "/healthz", Host="whatever.example")
    assert (health.status, health.json) == (200, {"state": "ready"})
    metrics = anybody.ask("GET", "/metrics", Host="whatever.example")
    assert b"edge_inspector_parts_triggered_total" in metrics.body
    assert metrics.headers["content-type"].startswith("text/plain; version=")


def test_a_station_that_is_not_well_says_so_by_status(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, healthy=(False, {"state": "fault"}))) as page:
        assert page.visitor().ask("GET", "/healthz").status == 503


def test_every_answer_has_the_security_headers(anybody: Visitor) -> None:
    for path in ("/", "/static/app.js", "/api/station", "/metrics", "/nothing", "/api/parts/99"):
        headers = anybody.ask("GET", path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "", "localhost.evil.example", "127.0.0.1.evil.example"]
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
        "/api/parts/-1",
    ],
)
def test_no_address_leads_out_of_the_page(anybody: Visitor, path: str) -> None:
    assert anybody.ask("GET", path).status in (404, 503)


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


def test_a_reviewers_label_is_stored_under_his_name(page: Page) -> None:
    reviewer = page.visitor(Role.REVIEWER)
    stored = reviewer.ask("POST", "/api/parts/2/label", {"view": "", "label": "defect", "class": "defect"})
    assert stored.json == {"stored": True}
    labels = reviewer.ask("GET", "/api/parts/2").json["labels"]
    assert [(each["label"], each["class"], each["user"]) for each in labels] == [("defect", "defect", "reviewer")]
    assert reviewer.ask("GET", "/api/review").json == {"parts": []}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"view": "", "label": "fine"}, 400),
        ({"view": "", "label": "good", "class": "defect"}, 400),
        ({"view": "", "label": "defect", "class": "unheard-of"}, 400),
        ({"view": "cam9", "label": "good", "class": ""}, 404),
        ({"view": 7, "label": "good", "class": ""}, 400),
        ([], 400),
        (b"{", 400),
        (b"[" * 4000, 400),
        (b'"' + b"x" * 5000 + b'"', 413),
    ],
)
def test_a_label_that_makes_no_sense_is_refused(page: Page, body: object, status: int) -> None:
    assert page.visitor(Role.REVIEWER).ask("POST", "/api/parts/2/label", body).status == status


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


def test_guessing_passwords_is_soon_refused(anybody: Visitor) -> None:
    statuses = [anybody.log_in("admin", "wrong password").status for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    assert anybody.log_in("admin", PASSWORD).status == 429, "the right one too: nobody may learn it so"


def test_a_wrong_name_is_answered_like_a_wrong_password(anybody: Visitor) -> None:
    wrong_name = anybody.log_in("nobody", PASSWORD)
    wrong_password = anybody.log_in("admin", "wrong password")
    assert (wrong_name.status, wrong_name.body) == (wrong_password.status, wrong_password.body)
    assert anybody.log_in("admin", "x" * 1000).status == 401


def test_failures_are_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch, anybody: Visitor) -> None:
    monkeypatch.setattr(sessions, "_WINDOW_S", 0.5)
    for _ in range(5):
        anybody.log_in("admin", "wrong password")
    time.sleep(0.6)
    assert anybody.log_in("admin").status == 200


def test_the_live_feed_tells_a_newcomer_everything(page: Page, anybody: Visitor) -> None:
    page.conditions.set(ErrorCode.CAMERA_LOST, "cam2")
    told = first_event(anybody)
    assert told["state"] == "degraded"
    assert told["conditions"] == [{"code": "camera_lost", "subject": "cam2"}]
    assert told["cameras"] == {"cam1": True, "cam2": False}
    assert [entry["decision"] for entry in told["strip"]] == [1, 2]
    assert told["pictures"]["cam1"]["frame"] == 2
    assert told["pictures"]["cam1"]["jpeg"].startswith("/9j/")
    assert {part["n"] for part in told["belt"]["parts"]} == {1, 2, 3}
    assert told["belt"]["speed"] == pytest.approx(1000, rel=0.2)
    assert told["figures"]["reject"] == 1


def test_all_watchers_get_the_same_bytes_made_once(page: Page) -> None:
    streams = [page.visitor().start("GET", "/api/live") for _ in range(5)]
    news = []
    for stream in streams:
        events = [line for line in (stream.readline() for _ in range(8)) if line.startswith(b"data")]
        news.append({json.loads(event[6:])["utc"]: event for event in events if b'"whole"' not in event})
    common = set.intersection(*(set(each) for each in news))
    assert common
    for utc in common:
        assert len({each[utc] for each in news}) == 1


def test_nothing_is_made_while_nobody_watches(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_inspector.web import live  # noqa: PLC0415

    made = []
    really = live.overlaid
    monkeypatch.setattr(live, "overlaid", lambda *given: made.append(1) or really(*given))
    time.sleep(0.5)
    assert not made
    first_event(page.visitor())
    assert made


def test_there_is_room_for_so_many_screens_only(tmp_path: Path) -> None:
    with serving(plant_of(tmp_path, "max_watchers = 2\n")) as page:
        for _ in range(2):
            first_event(page.visitor())
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
    begun = time.monotonic()
    assert anybody.ask("GET", "/api/station").status == 200
    assert time.monotonic() - begun < 2.0
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
        first_event(page.visitor())
    begun = time.monotonic()
    page.worker.stop()
    assert page.worker.join(5)
    assert time.monotonic() - begun < 1.0


def test_parts_are_found_by_what_is_asked(anybody: Visitor) -> None:
    def found(query: str) -> list[int]:
        return [part["part"] for part in anybody.ask("GET", f"/api/parts?{query}").json["parts"]]

    assert found("") == [2, 1]
    assert found("decision=reject") == [2]
    assert found("part=1") == [1]
    assert found("class=defect") == [2]
    assert found("before=2") == [1]
    assert found("since=2999-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    "query", ["decision=maybe", "part=x", "part=99999999999999999999", "since=2026-01-01", "since=now", "before=-1"]
)
def test_a_filter_that_makes_no_sense_is_refused(anybody: Visitor, query: str) -> None:
    assert anybody.ask("GET", f"/api/parts?{query}").status == 400


def test_a_part_tells_its_story(anybody: Visitor) -> None:
    part = anybody.ask("GET", "/api/parts/2").json
    assert (part["decision"], part["classes"], part["review"]) == (2, ["defect"], True)
    assert part["views"][0]["camera"] == "cam1"
    assert part["views"][0]["captured_ms"] == pytest.approx(100)


def test_a_picture_in_memory_is_shown_with_its_mask(anybody: Visitor) -> None:
    image = anybody.ask("GET", "/api/parts/2/cam1/image")
    assert image.headers["content-type"] == "image/png"
    assert cv2.imdecode(np.frombuffer(image.body, np.uint8), cv2.IMREAD_UNCHANGED).shape == (40, 60, 3)
    mask = cv2.imdecode(
        np.frombuffer(anybody.ask("GET", "/api/parts/2/cam1/mask").body, np.uint8), cv2.IMREAD_UNCHANGED
    )
    assert mask.shape[2] == 4
    assert mask.shape[1] / mask.shape[0] == pytest.approx(60 / 40, rel=0.01)
    assert 0.05 < np.mean(mask[:, :, 3] > 0) < 0.2
    assert anybody.ask("GET", "/api/parts/2/thumb").headers["content-type"] == "image/jpeg"
    assert anybody.ask("GET", "/api/parts/2/cam2/image").status == 404


def test_without_results_the_page_says_so(tmp_path: Path) -> None:
    plant = plant_of(tmp_path)
    for file in plant.station.state_dir.iterdir():
        file.unlink()
    with serving(plant) as page:
        assert page.visitor().ask("GET", "/api/parts").status == 503
        assert first_event(page.visitor())["history"] == {"hours": [], "classes": []}


def test_health_tells_what_runs(anybody: Visitor) -> None:
    told = anybody.ask("GET", "/api/health").json
    assert told["model"]["provider"] == "simulated"
    assert told["versions"]["edge-inspector"]
    assert told["disk"]["total_bytes"] > 0


def test_an_admin_changes_the_recipe(page: Page) -> None:
    admin = page.visitor(Role.ADMIN)
    assert admin.ask("POST", "/api/command", {"name": "select_recipe", "recipe": 2}).json == {"recipe": 2}
    assert admin.ask("GET", "/api/station").json["recipe"]["id"] == 2
    assert first_event(admin)["recipe"] == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "reset"}, 200),
        ({"name": "disable"}, 200),
        ({"name": "select_recipe", "recipe": 77}, 409),
        ({"name": "select_recipe", "recipe": "1"}, 400),
        ({"name": "explode"}, 400),
        ({}, 400),
    ],
)
def test_a_command_is_answered_with_what_became_of_it(page: Page, body: object, status: int) -> None:
    assert page.visitor(Role.ADMIN).ask("POST", "/api/command", body).status == status


def test_a_reviewer_commands_nothing(page: Page) -> None:
    assert page.visitor(Role.REVIEWER).ask("POST", "/api/command", {"name": "reset"}).status == 403


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_with_a_certificate_everything_is_encrypted(tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(tmp_path / "page.key"), "-out", str(tmp_path / "page.crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    with serving(plant_of(tmp_path, 'certificate = "page.crt"\nprivate_key = "page.key"\n')) as page:
        trusting = ssl.create_default_context(cafile=tmp_path / "page.crt")
        encrypted = http.client.HTTPSConnection("127.0.0.1", page.port, timeout=10, context=trusting)
        with contextlib.closing(encrypted):
            encrypted.request("POST", "/api/login", json.dumps({"name": "admin", "password": PASSWORD}))
            answer = encrypted.getresponse()
            assert answer.status == 200
            assert "; secure" in answer.getheader("set-cookie", "").lower()
            answer.read()
            encrypted.request("GET", "/healthz")
            assert encrypted.getresponse().status == 200
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            page.visitor().ask("GET", "/healthz")
