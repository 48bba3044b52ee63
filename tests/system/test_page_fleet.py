"""The page of all stations in a real browser: light and dark, on a phone, by keyboard, in another language."""

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, expect
from support.chromium import PROGRAM, browsing
from support.simulated_stations import SimulatedStation, SimulatedStations, fleet_text

from edge_inspector.codes import ErrorCode
from edge_inspector.fleet.serve import Fleet
from edge_inspector.fleet.tables import read_fleet
from edge_inspector.records import RolloutTold
from edge_inspector.simulation.demo import free_port

pytestmark = [pytest.mark.system, pytest.mark.skipif(not PROGRAM, reason="Chromium is not installed")]

ACCESSIBILITY = (Path(__file__).parent / "accessibility.js").read_text()
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as started:
        yield started


@pytest.fixture
def stations() -> Iterator[SimulatedStations]:
    faulty = SimulatedStation("faulty", reasons=[(ErrorCode.CAMERA_LOST, "top", "no `frame` <b>for</b> 500 ms")])
    others = [SimulatedStation(f"line-{at}", boot_id=at + 2) for at in range(4)]
    others[0].rollout = RolloutTold(package="mean-1.2", step="shadow", wanted="", since=None, why="")
    others[1].rollout = RolloutTold(package="mean-1.1", step="kept", wanted="", since=None, why="")
    with SimulatedStations(faulty, *others) as server:
        yield server


@pytest.fixture
def address(tmp_path: Path, stations: SimulatedStations) -> Iterator[str]:
    port = free_port()
    text = fleet_text([], port=port)
    for at, name in enumerate(stations.stations):
        site = "Werk " + "Süd" * 18 if at % 2 else "上海"
        text += f'[[stations]]\naddress = "{stations.at(name)}"\nsite = "{site}"\nplace = "Hall {at}"\n'
    (tmp_path / "fleet.toml").write_text('name = "Acme"\n' + text)
    fleet = Fleet(read_fleet(tmp_path / "fleet.toml"))
    fleet.start()
    try:
        base = f"http://127.0.0.1:{port}/"
        end_s = time.monotonic() + PATIENCE_S
        while not _ready(base):
            assert time.monotonic() < end_s
            time.sleep(0.1)
        yield base
    finally:
        fleet.stop()


def _ready(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}api/fleet", timeout=10) as answer:  # noqa: S310 -- our own page
            return all(each["state"] != "unknown" for each in json.load(answer)["stations"])
    except OSError:
        return False


def errors_of(page: Page, base: str) -> list[str]:
    """Collects what goes wrong in this page, and what it asks of others."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: None if request.url.startswith(base) else found.append(request.url))
    return found


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (360, "light")])
def test_who_needs_help_is_first_with_what_to_do(
    browser: Browser, address: str, stations: SimulatedStations, width: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme, locale="en-GB")  # type: ignore[arg-type]
    try:
        errors = errors_of(page, address)
        page.goto(address)
        card = page.locator("#help li.card")
        expect(card).to_have_count(1)
        expect(card).to_contain_text(
            "Camera top does not answer. Its parts are not inspected. Check its cable and power."
        )
        expect(card).to_contain_text("no frame <b>for</b> 500 ms")
        expect(page.locator("#well li")).to_have_count(4)
        expect(page.get_by_role("status").first).to_contain_text("1 of 5 stations need help")
        assert card.get_by_role("link").get_attribute("href") == stations.at("faulty")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it must not scroll sideways"
        assert page.evaluate(ACCESSIBILITY) == ["no landmarks"], "a single page needs no navigation"

        page.keyboard.press("/")
        page.keyboard.type("line-2")
        expect(page.locator("#well li")).to_have_count(1)
        expect(page.locator("#help")).to_be_hidden()
        page.locator("#search").fill("")
        page.locator("#tallies button", has_text="Ready").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#help")).to_be_hidden()
        assert page.evaluate("document.activeElement.dataset.key") == "ready", "the keyboard stays where it was"
        page.keyboard.press("Enter")
        expect(card).to_have_count(1)

        stations.stations["faulty"].reasons = ()
        expect(page.get_by_role("status").first).to_contain_text("All 5 stations are well")
        page.locator("select.language").select_option("de")
        expect(page.get_by_role("status").first).to_contain_text("Alle 5 Stationen sind in Ordnung")
        assert errors == []
    finally:
        page.close()


def test_a_roll_out_that_is_under_way_is_seen_at_its_station(browser: Browser, address: str) -> None:
    tab = browser.new_page(locale="en-GB")
    tab.goto(address)
    tile = tab.locator("#well li", has_text="line-0")
    expect(tile).to_contain_text("Roll-out: mean-1.2 · Looks on")
    expect(tab.locator("#well li", has_text="line-1")).not_to_contain_text("mean-1.1")
    tab.close()
