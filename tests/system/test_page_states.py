"""What the page says of the line in each state, and that nobody mistakes old things for new ones. In a real browser."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, Route, expect
from support.chromium import PROGRAM, a_tab, browsing, log_in
from support.page import Page, plant_of, serving, with_names
from support.verdicts import verdict

from edge_inspector.codes import Decision, ErrorCode
from edge_inspector.records import RolloutTold, Scene
from edge_inspector.runtime.clock import utc_of
from edge_inspector.store.results import Results
from edge_inspector.web.health import health
from edge_inspector.web.live import Live

pytestmark = [pytest.mark.system, pytest.mark.skipif(not PROGRAM, reason="Chromium is not installed")]

# What the line does to the parts. The fault comes last, because it stays until somebody acknowledges it.
STATES = (
    (ErrorCode.PICTURES_UNGUARDED, "recipe 1", "ready", "Every part is being inspected"),
    (ErrorCode.ENCODER_LOST, "encoder", "degraded", "Parts that are not inspected are rejected, good ones too."),
    (ErrorCode.CAMERA_LOST, "cam1", "degraded", "Parts that are not inspected are rejected, good ones too."),
    (ErrorCode.PARTS_NOT_INSPECTED, "line", "degraded", "Parts that are not inspected are rejected, good ones too."),
    (ErrorCode.BROKER_LOST, "broker", "degraded", "The gate is not concerned."),
    (ErrorCode.SWITCHED_OFF, "page:anna", "off", "All parts are rejected."),
    (ErrorCode.PLC_LOST, "plc", "fault", "The PLC rejects every part by itself until then."),
)
# Letters for five metres are 20 mm high: 32 pixels of a screen of 55 inches, 44 with what is above and below.
FROM_FIVE_METRES = """() => [".state strong", ".figure .value", ".last-reject .says"].map((name) =>
    Math.min(...[...document.querySelectorAll(name)].map((each) => parseFloat(getComputedStyle(each).fontSize))))"""
ACCESSIBILITY = (Path(__file__).parent / "accessibility.js").read_text()
# How strongly each panel of the page is faded, with all that it lies in.
FADED = """() => [...new Set([...document.querySelectorAll("main .panel")].map((each) => {
    let seen = 1;
    for (let at = each; at; at = at.parentElement) seen *= Number(getComputedStyle(at).opacity);
    return seen;
}))]"""
GREY = "(name) => getComputedStyle(document.querySelector(name)).filter"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as started:
        yield started


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with serving(plant_of(tmp_path)) as served:
        yield served


def test_the_large_field_says_in_each_state_what_becomes_of_the_parts(browser: Browser, tmp_path: Path) -> None:
    plant = replace(plant_of(tmp_path), scene=lambda: Scene((), (verdict(2, decided_ns=time.monotonic_ns()),)))
    with serving(plant) as page, a_tab(browser, page) as tab:
        field = tab.locator(".state.panel")
        for code, subject, state, words in STATES:  # one after the other
            page.conditions.set(code, subject, "no answer")
            expect(field).to_contain_text(words)
            expect(field).to_have_attribute("data-state", state)
            expect(tab.locator("#state")).to_have_attribute("data-state", state)
            if state != "ready":
                expect(field).to_contain_text(re.compile(r"since \d\d:\d\d:\d\d"))
            page.conditions.clear(code, subject)
        expect(field).to_contain_text("Fault, over now")
        page.conditions.set(ErrorCode.ENCODER_LOST, "encoder", "no answer")
        expect(field).to_contain_text("Now: Degraded. The belt's position is not known. No part is inspected.")
        expect(field).to_contain_text("Parts that are not inspected are rejected, good ones too.")


def test_what_the_parts_feel_comes_before_what_they_do_not(browser: Browser, page: Page) -> None:
    page.conditions.set(ErrorCode.BROKER_LOST, "broker", "no answer")
    page.conditions.set(ErrorCode.PARTS_NOT_INSPECTED, "line", "3 of 100 parts were late: " + "see what to do. " * 20)
    with a_tab(browser, page) as tab:
        message = tab.locator(".state.panel p", has_text="3 of 100 parts were late")
        assert message.evaluate("(each) => each.scrollHeight <= each.clientHeight + 1"), "the whole message is there"
        expect(tab.locator(".state.panel p").first).to_contain_text("More parts are not inspected than")
        expect(tab.locator(".state.panel")).to_contain_text("The gate is not concerned.")


def test_what_follows_for_the_parts_is_said_once(browser: Browser, page: Page) -> None:
    page.conditions.set(ErrorCode.ENCODER_LOST, "encoder", "no answer")
    page.conditions.set(ErrorCode.CAMERA_LOST, "cam1", "no answer")
    with a_tab(browser, page) as tab:
        expect(tab.locator(".state.panel p", has_text="Camera cam1")).to_be_visible()
        expect(tab.locator(".state.panel p.then")).to_have_count(1)


def test_a_broker_on_which_the_gate_depends_is_not_called_harmless(browser: Browser, page: Page) -> None:
    page.conditions.is_vital(ErrorCode.BROKER_LOST, "broker")
    page.conditions.set(ErrorCode.BROKER_LOST, "broker", "no answer")
    with a_tab(browser, page) as tab:
        expect(tab.locator(".state.panel")).to_contain_text("No verdict reaches the gate until then.")
        expect(tab.locator(".state.panel")).not_to_contain_text("The gate is not concerned.")
        tab.click("nav a[href$='/events']")
        expect(tab.locator(".events li").first).to_contain_text("No verdict reaches the gate until then.")


def test_tiles_and_cards_turn_grey_when_no_part_comes_any_more(browser: Browser, tmp_path: Path) -> None:
    plant = plant_of(tmp_path)
    old = verdict(2, Decision.ACCEPT, decided_ns=time.monotonic_ns() - 600 * 10**9)
    with (
        serving(replace(plant, scene=lambda: Scene((), (old,)))) as page,
        a_tab(browser, page) as tab,
    ):
        expect(tab.locator(".quiet-line")).to_contain_text("No part has been decided for 10 min.")
        expect(tab.locator(".state.panel")).to_contain_text("Waiting for parts")
        for width in (1600, 390):
            tab.set_viewport_size({"width": width, "height": 900})
            for name in (".last-reject", ".verdicts", ".belt", ".figure.accepted"):
                assert tab.evaluate(GREY, name) == "grayscale(1)", (name, width)
        assert tab.evaluate(GREY, ".connections") == "none", "they are known now"
        expect(tab.locator(".figure.yield .below")).to_have_text("")


def test_every_page_says_that_it_is_old_when_the_station_does_not_answer(browser: Browser, page: Page) -> None:
    with a_tab(browser, page, "/parts/2") as tab:
        expect(tab.locator(".because")).to_be_visible()
        tab.route("**/api/now", lambda _: None)  # it hangs: the connection stands, and nothing comes
        expect(tab.locator("#lost")).to_have_text("No connection: This screen shows old figures")
        expect(tab.locator("main")).to_have_class(re.compile("old"))
        expect(tab.locator("#state")).to_have_attribute("data-state", "lost")
        assert tab.evaluate(FADED) == [0.45]
        assert tab.evaluate(ACCESSIBILITY) == []
        tab.unroute_all(behavior="ignoreErrors")
        expect(tab.locator("#lost")).to_be_hidden()
        expect(tab.locator("main")).not_to_have_class(re.compile("old"))


def test_a_page_that_comes_late_is_not_mixed_with_the_next_one(browser: Browser, page: Page) -> None:
    with a_tab(browser, page) as tab:
        late: list[Route] = []

        def keep_back(route: Route) -> None:
            late.append(route)

        tab.route("**/api/recipes", keep_back)
        tab.click("nav a[href$='/recipes']")
        until_s = time.monotonic() + 30
        while not late and time.monotonic() < until_s:
            tab.wait_for_timeout(20)
        tab.click("nav a[href$='/parts']")
        expect(tab.locator("table.parts tbody tr")).to_have_count(2)
        with tab.expect_response("**/api/recipes/1/versions"):
            late[0].continue_()
        tab.wait_for_timeout(500)
        expect(tab.locator("h1")).to_have_text("Parts")
        expect(tab.locator("main")).to_have_count(1)


def test_the_last_reject_has_its_picture_also_if_nobody_watched_when_it_came(
    browser: Browser, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Live, "_thumb", lambda *_: "")
    with a_tab(browser, page) as tab:
        picture = tab.locator(".last-reject img")
        expect(picture).to_have_attribute("src", re.compile(r"/api/parts/2/thumb\?large=1$"))
        expect(picture).to_be_visible()
    page.plant.album.get("cam1", 2)
    assert page.visitor().ask("GET", "/api/parts/2/thumb?large=1").status == 200


def test_a_good_part_stands_beside_a_rejected_one(
    browser: Browser, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Results, "good_example", lambda *_: 1)
    with a_tab(browser, page, "/parts/2") as tab:
        good = tab.locator(".example img")
        expect(good).to_have_attribute("src", re.compile(r"/api/parts/1/cam1/image$"))
        expect(good).to_be_visible()
        bad, beside = tab.locator(".stage").bounding_box(), good.bounding_box()
        assert bad is not None
        assert beside is not None
        assert beside["x"] >= bad["x"] + bad["width"]
        tab.click("text=Good part beside it")
        expect(good).to_be_hidden()


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720)])
def test_a_wall_display_needs_no_scrolling_and_is_read_from_five_metres(
    browser: Browser, page: Page, size: tuple[int, int]
) -> None:
    wide, high = size
    page.conditions.set(ErrorCode.PLC_LOST, "plc", "no answer within 2 s")
    page.conditions.set(ErrorCode.ENCODER_LOST, "encoder", "no answer within 2 s")
    with a_tab(browser, page, "/?wall=1", viewport={"width": wide, "height": high}) as tab:
        expect(tab.locator(".state.panel")).to_contain_text("Fault")
        expect(tab.locator(".last-reject img")).to_be_visible()
        assert tab.evaluate("document.documentElement.scrollHeight") <= high
        picture = tab.locator(".last-reject img").bounding_box()
        assert picture is not None
        assert picture["height"] > 0.15 * high
        state, figure, reject = tab.evaluate(FROM_FIVE_METRES)
        assert min(state, figure) >= 44 * wide / 1920
        assert reject >= 44 * wide / 1920


def test_parts_and_events_are_filtered_and_saved_as_they_are_shown(browser: Browser, page: Page) -> None:
    page.conditions.set(ErrorCode.BROKER_LOST, "broker", "no answer")
    page.conditions.set(ErrorCode.CAMERA_LOST, "cam2", "no answer")
    with a_tab(browser, page, "/events") as tab:
        expect(tab.locator("ol.events li")).to_have_count(2)
        tab.select_option("form.filters select", "camera_lost")
        expect(tab.locator("ol.events li")).to_have_count(1)
        with tab.expect_download() as saved:
            tab.click("text=Export CSV")
        text = Path(saved.value.path()).read_text("utf-8-sig")
        assert (text.count("camera_lost"), text.count("broker_lost")) == (1, 0)
        tab.goto(f"http://127.0.0.1:{page.port}/parts?decision=reject")
        expect(tab.locator("table.parts tbody tr")).to_have_count(1)
        with tab.expect_download() as saved:
            tab.click("text=Export CSV")
        text = Path(saved.value.path()).read_text("utf-8-sig")
        assert (text.count("reject"), text.count("accept")) == (1, 0)


def test_a_shift_is_saved_as_tables_and_as_pdf(browser: Browser, page: Page) -> None:
    pytest.importorskip("fpdf", reason="the extra `report` is not installed")
    with a_tab(browser, page, "/trends") as tab:
        expect(tab.locator(".chart.trend").first).to_be_visible()
        expect(tab.locator(".map .heat")).to_have_count(1)
        for name in ("Parts CSV", "Reviews CSV", "Events CSV", "Report PDF"):
            with tab.expect_download() as saved:
                tab.click(f"text={name}")
            content = Path(saved.value.path()).read_bytes()
            assert content.startswith(b"%PDF" if name.endswith("PDF") else "\ufeff".encode()), name
        tab.click("[data-range=week]")
        expect(tab.locator("[data-range=week]")).to_have_attribute("aria-pressed", "true")
        expect(tab.locator(".report tbody tr").first).to_contain_text("50.0 %")


def test_health_speaks_of_the_line_first_and_of_threads_to_those_who_ask(browser: Browser, page: Page) -> None:
    with a_tab(browser, page, "/health") as tab:
        expect(tab.locator(".fine").first).to_contain_text("Nothing is wrong.")
        expect(tab.locator(".workers")).to_be_hidden()
        tab.click("details.engineer summary")
        expect(tab.locator("details.engineer")).to_contain_text("Log in to see the versions.")
        tab.click("#login")
        log_in(tab, "viewer")
        expect(tab.locator("details.engineer")).to_contain_text("opencv-python-headless")


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en-GB", ("Judges on trial", "It goes back", "goes back by itself, or has gone back.")),
        ("de-DE", ("Urteilt auf Probe", "Wird dann zurückgenommen", "wird von selbst zurückgenommen")),
        ("zh-CN", ("试判", "退回", "正在自动退回")),
    ],
)
def test_health_says_what_a_roll_out_has_brought_and_how_far_it_is(
    browser: Browser, tmp_path: Path, locale: str, words: tuple[str, str, str]
) -> None:
    plant = plant_of(tmp_path)
    told = RolloutTold(package="mean-1.2", step="judges", wanted="back", since=utc_of(0), why="many rejects")
    plant = replace(plant, health=lambda: health(plant.conditions, {}, supervised=True, rollout=told))
    plant.conditions.set(ErrorCode.ROLLOUT_BACK, "mean-1.2", "many rejects")
    with serving(plant) as page, a_tab(browser, page, "/health", locale=locale) as tab:
        panel = tab.locator(".panel dl", has_text="mean-1.2")
        for each in ("many rejects", *words[:2]):
            expect(panel).to_contain_text(each)
        expect(tab.locator(".conditions")).to_contain_text(words[2])


def test_a_page_that_runs_from_right_to_left_fits(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "languages").mkdir()
    (tmp_path / "languages" / "ar.json").write_text(
        '{"language.name": "العربية", "language.direction": "rtl", "state.ready": "جاهز", "class.defect": "عيب"}'
    )
    plant = with_names(plant_of(tmp_path), ["عيب " * 75])
    with serving(plant) as page, a_tab(browser, page, locale="ar") as tab:
        expect(tab.locator(".state.panel strong")).to_have_text("جاهز")
        assert tab.evaluate("getComputedStyle(document.body).direction") == "rtl"
        for path in ("/", "/parts", "/trends", "/events"):
            tab.goto(f"http://127.0.0.1:{page.port}{path}")
            tab.wait_for_selector("main > *")
            for width in (390, 1280):
                tab.set_viewport_size({"width": width, "height": 900})
                tab.wait_for_timeout(300)
                assert tab.evaluate("document.documentElement.scrollWidth") <= width + 1, (path, width)
