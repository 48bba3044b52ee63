"""What operators, shift leaders and engineers do on the page, in a real browser, with mouse, finger and keyboard."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Tab
from support.chromium import PROGRAM, a_tab, browsing, log_in
from support.good_parts import plant_with_good_parts
from support.page import Page, camera_threads, plant_of, serving, with_names

from edge_inspector.codes import ErrorCode, Promise
from edge_inspector.station.load import load_station
from edge_inspector.store.promises import kept_promise
from edge_inspector.store.users import Role
from edge_inspector.watches.drift import DriftState
from edge_inspector.web import connection

pytestmark = [pytest.mark.system, pytest.mark.skipif(not PROGRAM, reason="Chromium is not installed")]

ACCESSIBILITY = (Path(__file__).parent / "accessibility.js").read_text()
LONG = ("Oberflächenbeschädigung" * 14)[:300]
PAGES = (
    "/",
    "/?wall=1",
    "/parts",
    "/parts/2",
    "/review",
    "/trends",
    "/events",
    "/recipes",
    "/cameras",
    "/teach",
    "/health",
    "/checks",
)
# Text that is wider than its box and neither cut off on purpose nor scrolled.
OVERFLOWS = """() => {
    const found = document.documentElement.scrollWidth > innerWidth + 1 ? ["the page itself"] : [];
    for (const element of document.querySelectorAll("main *, header *, dialog *")) {
        if (!element.checkVisibility() || !element.clientWidth) continue;
        if (element.closest("svg, .hidden, .scroll, nav")) continue;
        const style = getComputedStyle(element);
        const visible = style.overflowX === "visible" && style.display !== "inline";
        if (visible && element.scrollWidth > element.clientWidth + 1)
            found.push(`${element.tagName}.${element.className}: ${element.textContent.slice(0, 40)}`);
    }
    return found;
}"""

# What may scroll sideways on a phone, and on a laptop must not.
CUT_OFF = """() => [...document.querySelectorAll("nav, .scroll")]
    .filter((each) => each.checkVisibility() && each.scrollWidth > each.clientWidth + 1)
    .map((each) => each.textContent.slice(0, 60))"""

# How many elements a keyboard must reach.
FOCUSABLE = """() => {
    const kinds = "a[href], button, input, select, textarea, summary, [tabindex='0']";
    window.focusable = [...document.querySelectorAll(kinds)].filter((each) => each.checkVisibility() && !each.disabled);
    return window.focusable.length;
}"""
FOCUSED = """() => {
    const focused = document.activeElement;
    return [window.focusable.indexOf(focused), getComputedStyle(focused).outlineStyle !== "none"];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as started:
        yield started


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with serving(plant_of(tmp_path)) as served:
        yield served


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def a_short_fault(page: Page) -> None:
    page.conditions.set(ErrorCode.VERDICT_LATE, "plc", "part 7 came too late")
    page.conditions.clear(ErrorCode.VERDICT_LATE, "plc")


def test_a_fault_that_was_short_stays_until_an_operator_acknowledges_it(browser: Browser, page: Page) -> None:
    a_short_fault(page)
    with a_tab(browser, page) as tab:
        state = tab.locator(".state.panel")
        expect(state.locator("strong")).to_have_text("Fault, over now")
        expect(state).to_contain_text("Now: Ready")
        expect(tab.locator("#state")).to_contain_text("Ready")
        assert tab.evaluate(ACCESSIBILITY) == []
        state.locator("button.acknowledge").focus()
        tab.keyboard.press("Enter")
        log_in(tab, "operator")
        expect(state.locator("strong")).to_have_text("Ready")
        tab.click("nav a[href$='/events']")
        expect(tab.locator(".events li").first).to_contain_text("operator")
        sound = tab.get_by_role("button", name="Sound")
        expect(sound).to_have_attribute("aria-pressed", "false")
        sound.click()
        expect(sound).to_have_attribute("aria-pressed", "true")
        tab.check("label.check input")
        expect(tab.locator("ol.events li")).to_have_count(0)


def test_a_lost_plc_is_red_and_says_what_becomes_of_the_parts(browser: Browser, page: Page) -> None:
    page.conditions.set(ErrorCode.PLC_LOST, "plc", "no answer")
    with a_tab(browser, page) as tab:
        state = tab.locator(".state.panel")
        expect(state).to_have_attribute("data-state", "fault")
        expect(state).to_contain_text("The PLC rejects every part by itself until then.")
        page.conditions.clear(ErrorCode.PLC_LOST, "plc")
        page.conditions.set(ErrorCode.BROKER_LOST, "broker", "no answer")
        expect(state).to_contain_text("Fault, over now")


@pytest.mark.parametrize(
    ("promise", "words"),
    [
        (Promise.ACKNOWLEDGED, None),
        (Promise.COUNTED, "counted This line: nobody confirms that the gate has a verdict."),
        (Promise.TIMED, "timed This line: places follow from the time, not from an encoder."),
    ],
)
def test_a_line_that_promises_less_says_so_in_its_word(
    browser: Browser, tmp_path: Path, promise: Promise, words: str | None
) -> None:
    plant = plant_of(tmp_path)
    station = replace(plant.station, roles=replace(plant.station.roles, promise=promise))
    with serving(replace(plant, station=station)) as page, a_tab(browser, page) as tab:
        told = tab.locator(".promise")
        expect(told).to_have_count(0) if words is None else expect(told).to_have_text(words)


def test_product_counts_and_the_last_reject_are_there(browser: Browser, page: Page) -> None:
    with a_tab(browser, page) as tab:
        expect(tab.locator(".figure.product .value")).to_have_text(page.plant.recipe.name)
        expect(tab.locator(".figure.accepted .value")).to_have_text("1")
        expect(tab.locator(".figure.yield .value")).to_have_text("50.0 %")
        expect(tab.locator(".last-reject")).to_contain_text("Part 2")
        assert tab.evaluate("document.querySelector('.last-reject img').naturalWidth") > 300
        tab.check(".only input")
        expect(tab.locator(".strip li")).to_have_count(1)


def test_a_batch_begins_by_keyboard_and_is_counted(browser: Browser, page: Page) -> None:
    with a_tab(browser, page) as tab:
        tab.locator(".anew button").focus()
        tab.keyboard.press("Enter")
        log_in(tab, "operator")
        tab.fill("dialog input[name=batch]", "4711")
        tab.keyboard.press("Enter")
        tab.select_option("select.span", "batch")
        expect(tab.locator(".figure.accepted .below")).to_contain_text("batch 4711")
        expect(tab.locator(".figure.product .below")).to_contain_text("Batch 4711")


def test_a_false_reject_is_marked_from_the_live_page_and_counted(browser: Browser, page: Page) -> None:
    with a_tab(browser, page) as tab:
        tab.click("button.was-good")
        log_in(tab, "reviewer")
        expect(tab.locator("#toast")).to_contain_text("Part 2: Good")
        tab.click("nav a[href$='/trends']")
        expect(tab.locator("main")).to_contain_text("False rejects")
        row = tab.locator("section", has_text="What people found wrong").locator("tbody tr")
        expect(row.locator("td.figure")).to_have_text(["1", "0", "1"])


def test_any_part_is_marked_on_its_page_with_one_key(browser: Browser, page: Page) -> None:
    with a_tab(browser, page, "/parts/1") as tab:
        expect(tab.locator(".because")).to_contain_text("Accepted")
        tab.keyboard.press("d")
        log_in(tab, "reviewer")
        expect(tab.locator(".judge")).to_contain_text("reviewer")
        tab.keyboard.press("ArrowRight")
        tab.wait_for_url("**/parts/2")
        until(lambda: page.plant.results.part(1).labels)  # type: ignore[union-attr]


def test_changing_the_product_asks_first_and_says_when_it_took_effect(browser: Browser, page: Page) -> None:
    with a_tab(browser, page, "/recipes") as tab:
        tab.select_option("select[name=recipe]", "2")
        tab.click("form.command button.primary")
        log_in(tab, "operator")
        dialog = tab.locator("dialog[open]")
        expect(dialog).to_contain_text("1 part of")
        name = page.plant.recipe.name
        expect(dialog.locator("h2")).to_have_text(f"From {name} (1) to {name} (2)?")
        dialog.locator("button.primary").click()
        expect(dialog).to_contain_text("is judged since")
        dialog.locator("button.primary").click()
        assert page.plant.status().recipe_id == 2


def test_limits_are_tried_saved_and_put_in_force_and_a_drawn_area_survives_a_reload(
    browser: Browser, page: Page, tmp_path: Path
) -> None:
    with a_tab(browser, page) as tab:
        tab.click("#login")
        log_in(tab, "admin")
        tab.wait_for_selector("#logout")
        tab.click("nav a[href$='/recipes']")
        picture = tab.locator(".regions svg").first
        picture.scroll_into_view_if_needed()
        box = picture.bounding_box()
        assert box is not None
        tab.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.25)
        tab.mouse.down()
        tab.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.75)
        tab.mouse.up()
        expect(tab.locator(".areas li").first).to_contain_text("mm")
        tab.reload()
        expect(tab.locator(".areas li button").first).to_be_visible()
        tab.click("text=Try on the last 200 parts")
        expect(tab.locator(".preview")).to_contain_text("It would have rejected")
        tab.fill("input[name=comment]", "edges shine")
        tab.click("text=Save as a new version")
        expect(tab.locator(".versions")).to_contain_text("edges shine")
        expect(tab.locator(".diff").first).to_contain_text("regions.cam1.width_mm")
        expect(tab.locator(".diff").first).not_to_contain_text("classes.")
        tab.on("dialog", lambda dialog: dialog.accept())
        tab.click("[data-version='1']")
        expect(tab.locator("main")).to_contain_text("From the next start of the station on: Version 1.")
        assert tab.evaluate(ACCESSIBILITY) == []
    assert (tmp_path / "state" / "recipe-edits.json").exists()


def test_challenge_parts_are_edited_on_the_page_and_put_in_force(browser: Browser, page: Page, tmp_path: Path) -> None:
    with a_tab(browser, page, "/recipes", locale="de-DE") as tab:
        tab.click("#login")
        log_in(tab, "admin")
        tab.wait_for_selector("#logout")
        tab.click("details.panel summary")
        tab.click("[data-name=add-part]")
        tab.keyboard.type("Kratzer 2")
        tab.check(".known input[name=finds]")
        tab.reload()
        expect(tab.locator(".known input[name=part]")).to_have_value("Kratzer 2")
        for width in (390, 1280):
            tab.set_viewport_size({"width": width, "height": 900})
            tab.wait_for_timeout(300)
            assert tab.evaluate(OVERFLOWS) == [], width
        assert tab.evaluate(ACCESSIBILITY) == []
        tab.click("text=An den letzten 20 Prüfungen probieren")
        expect(tab.locator("details.panel .preview")).to_contain_text("0 von 0 Prüfungen")
        tab.fill("details.panel input[name=comment]", "nur Kratzer")
        tab.click("details.panel button.primary")
        expect(tab.locator("details.panel .versions")).to_contain_text("nur Kratzer")
        tab.on("dialog", lambda dialog: dialog.accept())
        tab.click("details.panel [data-version='1']")
        expect(tab.locator("details.panel .off")).to_contain_text("Version 1")
    (part,) = load_station(tmp_path / "station.toml").file.challenge.parts
    assert (part.recipe, part.name, part.expect, part.finds) == (1, "Kratzer 2", "reject", ["defect"])


def test_an_admin_lets_good_parts_set_the_limits(browser: Browser, tmp_path: Path) -> None:
    with serving(plant_with_good_parts(tmp_path)) as page, a_tab(browser, page, "/recipes") as tab:
        tab.click("#login")
        log_in(tab, "admin")
        tab.click("text=Limits from good parts")
        tab.select_option("select[name=believe]", "all")
        tab.click("text=Propose limits")
        expect(tab.locator(".proposal")).to_contain_text("4 good parts are known. This promise needs 149.")
        area = tab.locator("table.edit input").first
        before = area.input_value()
        tab.fill("input[name=false_rejects]", "50")
        tab.fill("input[name=confidence]", "80")
        tab.click("text=Propose limits")
        expect(tab.locator(".proposal")).to_contain_text("From 4 good parts: at most 50 % of good parts are rejected")
        expect(tab.locator(".proposal")).to_contain_text("No part is marked bad.")
        expect(area).not_to_have_value(before)
        assert tab.evaluate(ACCESSIBILITY) == []
        tab.fill("input[name=comment]", "from good parts")
        tab.click("text=Save as a new version")
        expect(tab.locator(".versions")).to_contain_text("from good parts")
        (saved,) = page.visitor().ask("GET", "/api/recipes/1/versions").json["versions"]
        assert kept_promise(page.plant.station.state_dir, saved["hash"]) is not None, (
            "what the browser sends is the same"
        )


def test_a_camera_shows_its_picture_and_what_its_figures_mean(browser: Browser, tmp_path: Path) -> None:
    moved = {("cam1", "sharpness"): 0.5, ("cam1", "brightness"): 0.5}
    day = datetime(2026, 11, 21, tzinfo=UTC)
    drifted = DriftState(reference_parts=300, since_utc=day, until_utc=day, limit=0.25, indices=moved, chart=())
    plant = replace(plant_of(tmp_path), drift=lambda: drifted)
    with serving(plant) as page, a_tab(browser, page, "/cameras") as tab:
        first = tab.locator(".optic").first
        expect(first.locator("img")).to_be_visible()
        expect(first).to_contain_text("Almost black")
        expect(first).to_contain_text("the lens may be dirty")
        expect(first).to_contain_text("60 \u00d7 40")


def test_a_station_that_is_off_is_said_by_the_page_and_not_by_the_browser(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_PATIENCE_S", 1.0)
    context = browser.new_context(locale="de-DE")
    tab = context.new_page()
    plant = plant_of(tmp_path)
    with serving(plant) as page:
        address = f"http://127.0.0.1:{page.port}/parts"
        tab.goto(address)
        tab.wait_for_selector("tbody tr")
        tab.evaluate("navigator.serviceWorker.ready.then(() => 1)")
    with contextlib.suppress(Exception):  # the browser reports that the address was answered by another one
        tab.goto(address)
    expect(tab.locator("#title")).to_have_text("Die Station antwortet nicht")
    expect(tab.locator("#since")).to_contain_text("Zuletzt gesehen")
    assert tab.evaluate("document.documentElement.lang") == "de"
    context.close()


def test_a_report_prints_without_what_only_a_screen_needs(browser: Browser, page: Page) -> None:
    with a_tab(browser, page, "/trends") as tab:
        expect(tab.locator("main")).to_contain_text("Parts by product")
        tab.emulate_media(media="print")
        expect(tab.locator("#top")).to_be_hidden()
        expect(tab.locator(".filters")).to_be_hidden()
        assert tab.pdf(format="A4")[:4] == b"%PDF"


@pytest.mark.parametrize("language", ["en-GB", "de-DE", "zh-CN"])
def test_text_never_leaves_its_box(browser: Browser, page: Page, language: str) -> None:
    a_short_fault(page)
    page.conditions.set(ErrorCode.CAMERA_LOST, LONG, "x" * 300)
    with a_tab(browser, page, locale=language) as tab:
        tab.click("#login")
        log_in(tab, "admin")  # who sees most
        tab.wait_for_selector("#logout")
        fits(tab, page, (*PAGES, "/parts/2/draw"), widths=(390, 1280, 1920))


def test_names_of_three_hundred_characters_stay_in_their_boxes(browser: Browser, tmp_path: Path) -> None:
    plant = with_names(plant_of(tmp_path), [LONG, "表面缺陷" * 75, "عيب " * 75])
    with serving(plant) as page, a_tab(browser, page, viewport={"width": 390, "height": 900}) as tab:
        fits(tab, page, ("/", "/parts", "/parts/3", "/review", "/trends"), widths=(390,))


def fits(tab: Tab, page: Page, paths: Sequence[str], widths: Sequence[int]) -> None:
    for path in paths:
        tab.goto(f"http://127.0.0.1:{page.port}{path}")
        tab.wait_for_selector("main > *")
        tab.evaluate("document.querySelectorAll('main details').forEach((each) => { each.open = true; })")
        for width in widths:
            tab.set_viewport_size({"width": width, "height": 900})
            tab.wait_for_timeout(400)
            assert tab.evaluate(OVERFLOWS) == [], (path, width)
            assert width < 1280 or tab.evaluate(CUT_OFF) == [], (path, width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_every_page_in_every_state(browser: Browser, page: Page, scheme: str) -> None:
    a_short_fault(page)
    page.conditions.set(ErrorCode.PLC_LOST, "plc", "no answer")
    with a_tab(browser, page, color_scheme=scheme) as tab:
        for path in PAGES:
            tab.goto(f"http://127.0.0.1:{page.port}{path}")
            tab.wait_for_selector("main > *")
            tab.wait_for_timeout(600)
            assert tab.evaluate(ACCESSIBILITY) == [], path


def test_a_finger_marks_and_acknowledges_on_a_phone(browser: Browser, page: Page) -> None:
    a_short_fault(page)
    phone = {"viewport": {"width": 390, "height": 800}, "is_mobile": True, "has_touch": True}
    with a_tab(browser, page, **phone) as tab:
        first, second = (tab.locator(each).bounding_box() for each in (".state.panel", ".last-reject"))
        assert first is not None
        assert second is not None
        assert first["y"] < second["y"] < 900, "the state and the last reject come first"
        tab.tap("button.acknowledge")
        log_in(tab, "operator")
        expect(tab.locator(".state.panel strong")).to_have_text("Ready")
        tab.tap("button.flag >> nth=0")
        tab.tap("dialog .mark-as.good")
        expect(tab.locator("#toast")).to_contain_text("Good")


def test_exposure_is_changed_by_keyboard_and_everybody_is_told(browser: Browser, page: Page) -> None:
    with camera_threads(page), a_tab(browser, page) as tab:
        tab.click("#login")
        log_in(tab, "admin")
        tab.wait_for_selector("#logout")
        tab.click("nav a[href$='/cameras']")
        form = tab.locator(".optic form").first
        form.locator("input[name=exposure_us]").focus()
        tab.keyboard.press("Control+A")
        tab.keyboard.type("400")
        tab.keyboard.press("Tab")
        tab.keyboard.press("Tab")
        tab.keyboard.type("the lamp is old")
        tab.keyboard.press("Enter")
        expect(tab.locator("#toast")).to_contain_text("Camera cam1: set")
        expect(tab.locator(".optic .adjusted").first).to_contain_text("Exposure 200.0 → 400.0")
        assert tab.evaluate(ACCESSIBILITY) == []
        tab.click("nav a[href$='/events']")
        expect(tab.locator(".events li").first).to_contain_text("the lamp is old")
        tab.click("nav a[href$='/cameras']")
        form.locator("input[name=why]").fill("a new lamp")
        form.locator("button:not(.primary)").click()
        expect(tab.locator(".optic .adjusted").first).to_be_hidden()


def test_a_session_that_ends_while_somebody_draws_costs_nothing(browser: Browser, page: Page) -> None:
    with a_tab(browser, page, "/recipes") as tab:
        tab.click("#login")
        log_in(tab, "admin")
        tab.locator("table.edit input").first.fill("7.5")
        tab.fill("input[name=comment]", "edges shine")
        tab.context.clear_cookies()
        tab.click("text=Save as a new version")
        expect(tab.locator("dialog[open]")).to_contain_text("Your login has ended. Log in to store what you did.")
        log_in(tab, "admin")
        expect(tab.locator(".versions")).to_contain_text("edges shine")
        expect(tab.locator(".versions")).to_contain_text("admin")


def test_a_screen_whose_clock_is_wrong_shows_the_shift_of_the_station(browser: Browser, page: Page) -> None:
    with a_tab(browser, page) as tab:
        tab.clock.set_system_time("2031-02-03T04:05:06Z")
        tab.click("nav a[href$='/trends']")
        expect(tab.locator("main")).to_contain_text("Parts by product")
        expect(tab.locator(".report tbody tr").first).to_contain_text("50.0 %")
        assert "2031" not in tab.locator(".report").inner_text()


def test_a_tablet_that_slept_shows_what_is_now(browser: Browser, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_PATIENCE_S", 0.5)
    with a_tab(browser, page) as tab:
        expect(tab.locator(".state.panel strong")).to_have_text("Ready")
        chromium = tab.context.new_cdp_session(tab)
        chromium.send("Page.setWebLifecycleState", {"state": "frozen"})
        time.sleep(1.5)  # the station drops a screen that takes nothing
        page.conditions.set(ErrorCode.PLC_LOST, "plc", "no answer")
        chromium.send("Page.setWebLifecycleState", {"state": "active"})
        expect(tab.locator(".state.panel strong")).to_have_text("Fault")
        expect(tab.locator("main")).not_to_have_class("old")


def test_two_admins_edit_one_recipe_and_the_second_keeps_what_was_typed(browser: Browser, page: Page) -> None:
    with a_tab(browser, page, "/recipes") as tab:
        tab.click("#login")
        log_in(tab, "admin")
        tab.locator("table.edit input").first.fill("4")
        tab.fill("input[name=comment]", "to 4")
        limits = {name: each.model_dump() for name, each in page.plant.station.recipes[1].limits.items()}
        saved = {"version": 0, "comment": "to 3", "changes": {"classes": limits, "regions": {}}}
        assert page.visitor(Role.ADMIN).ask("POST", "/api/recipes/1/versions", saved).status == 200
        tab.click("text=Save as a new version")
        expect(tab.locator(".preview")).to_contain_text("Somebody else has saved a version meanwhile.")
        expect(tab.locator("table.edit input").first).to_have_value("4")


def test_the_keyboard_reaches_everything_on_every_page(browser: Browser, page: Page) -> None:
    a_short_fault(page)
    with a_tab(browser, page) as tab:
        for path in PAGES:
            tab.goto(f"http://127.0.0.1:{page.port}{path}")
            tab.wait_for_selector("main > *")
            tab.wait_for_timeout(400)
            wanted, reached, last = tab.evaluate(FOCUSABLE), set[int](), -1
            for _ in range(3 * wanted):  # a field for a date has several stops
                tab.keyboard.press("Tab")
                at, outlined = tab.evaluate(FOCUSED)
                if at in reached and at != last:
                    break
                if at >= 0:
                    assert outlined or at in reached, f"{path}: number {at} does not show that it has the focus"
                    reached.add(at)
                last = at
            assert len(reached) == wanted, path


def test_a_station_that_is_off_says_so_even_while_an_earlier_fault_waits(browser: Browser, page: Page) -> None:
    a_short_fault(page)
    page.conditions.set(ErrorCode.SWITCHED_OFF, "page:anna", "since 06:00")
    with a_tab(browser, page, viewport={"width": 390, "height": 844}) as tab:
        state = tab.locator(".state.panel")
        expect(state.locator("strong")).to_have_text("Off")
        expect(state).to_contain_text("All parts are rejected.")
        expect(state).to_contain_text("Fault, over now: A verdict reached plc")
        expect(state.locator("button.acknowledge")).to_be_visible()
        tab.goto(f"http://127.0.0.1:{page.port}/health")
        expect(tab.locator("nav [aria-current]")).to_be_in_viewport()


def test_a_polygon_is_typed_where_nobody_can_draw(browser: Browser, page: Page) -> None:
    with a_tab(browser, page, "/recipes") as tab:
        tab.click("#login")
        log_in(tab, "admin")
        figure = tab.locator(".regions figure").first
        figure.locator("[data-kind=polygon]").focus()
        tab.keyboard.press("Enter")
        figure.locator("input[type=text]").focus()
        tab.keyboard.type("1,1 20,1 10,x")
        figure.locator("button", has_text="Add").press("Enter")
        expect(figure.locator(".areas li")).to_contain_text("whole picture")
        figure.locator("input[type=text]").fill("1,1 20,1 10,15")
        figure.locator("button", has_text="Add").press("Enter")
        expect(figure.locator(".areas li")).to_contain_text("3")
        assert figure.locator("polygon.area").get_attribute("points") == "1,1 20,1 10,15"
        assert tab.evaluate(ACCESSIBILITY) == []
