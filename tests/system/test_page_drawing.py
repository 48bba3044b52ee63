"""Drawing on a part's picture in a real browser: by mouse and keyboard, and by finger on a phone."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Tab
from support.chromium import PROGRAM, browsing
from support.page import PASSWORD, Page, plant_of, serving

from edge_inspector.cli import main
from edge_inspector.store.drawings import Drawing, Drawings
from edge_inspector.store.users import Role
from edge_inspector.training.data.index_file import read_index
from edge_inspector.web import teach, uploads
from edge_inspector.web.plant import Plant

pytestmark = [pytest.mark.system, pytest.mark.skipif(not PROGRAM, reason="Chromium is not installed")]

PHONE = {"viewport": {"width": 390, "height": 800}, "is_mobile": True, "has_touch": True}
ACCESSIBILITY = (Path(__file__).parent / "accessibility.js").read_text()
DRAW = "/parts/1/draw"
# What a finger does: `Input.dispatchTouchEvent` of the browser itself, so that the page gets real pointer events.
TOUCH = "Input.dispatchTouchEvent"
TEACHER = Path(__file__).parents[1] / "support" / "stand_in_teacher.py"
RECIPE = """\
id = 1
name = "mine"
model = "mine-1.0"
views = ["camera"]
part_length_mm = 100
min_pitch_mm = 200
position_tolerance_mm = 5
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as started:
        yield started


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with serving(plant_of(tmp_path)) as served:
        yield served


@contextlib.contextmanager
def a_reviewer(
    browser: Browser, page: Page, path: str, *, role: Role = Role.REVIEWER, **options: object
) -> Iterator[Tab]:
    context = browser.new_context(**{"locale": "en-GB", "viewport": {"width": 1600, "height": 900}, **options})
    context.set_default_timeout(20_000)
    tab, wrong = context.new_page(), list[str]()
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    name, _, value = page.visitor(role).cookie.partition("=")
    context.add_cookies([{"name": name, "value": value, "url": f"http://127.0.0.1:{page.port}"}])
    tab.goto(f"http://127.0.0.1:{page.port}{path}")
    yield tab
    context.close()
    assert wrong == []


def log_in(tab: Tab) -> None:
    tab.wait_for_selector("dialog[open] input[name=name]")
    tab.keyboard.type("reviewer")
    tab.keyboard.press("Tab")
    tab.keyboard.type(PASSWORD)
    tab.keyboard.press("Enter")


def ready(tab: Tab, size: tuple[int, int] = (60, 40)) -> tuple[float, float, float]:
    """Where the picture begins on the screen, and its scale. `size` is its width and height in pixels."""
    expect(tab.locator(".desk .finish button.primary")).to_be_enabled()
    until(lambda: tab.evaluate("document.querySelector('.stage img').naturalWidth"))
    box = tab.locator(".stage").bounding_box()
    assert box is not None
    width, height = size
    scale = min(box["width"] / width, box["height"] / height)
    return box["x"] + (box["width"] - width * scale) / 2, box["y"] + (box["height"] - height * scale) / 2, scale


def finger_of(tab: Tab, size: tuple[int, int] = (60, 40)) -> Callable[..., None]:
    """What touches the picture, at its columns and rows."""
    x, y, scale = ready(tab, size)
    session = tab.context.new_cdp_session(tab)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [{"x": x + column * scale, "y": y + row * scale, "id": at} for at, (column, row) in enumerate(points)]
        session.send(TOUCH, {"type": kind, "touchPoints": places})

    return touch


def drag(tab: Tab, *points: tuple[float, float]) -> None:
    x, y, scale = ready(tab)
    places = [(x + column * scale, y + row * scale) for column, row in points]
    tab.mouse.move(*places[0])
    tab.mouse.down()
    for place in places[1:]:
        tab.mouse.move(*place, steps=4)
    tab.mouse.up()


def kept(tab: Tab) -> int:
    """How many drawings the browser keeps."""
    return int(tab.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('drawing:')).length"))


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def stored(folder: Path) -> Drawing:
    (drawn,) = Drawings(folder / "state").all()
    return drawn


def test_a_missed_defect_is_drawn_with_mouse_and_keys_and_stored(browser: Browser, page: Page, tmp_path: Path) -> None:
    with a_reviewer(browser, page, DRAW) as tab:
        expect(tab.locator(".desk .says")).to_contain_text("The model saw nothing here")
        drag(tab, (10, 10), (30, 10))  # with the brush, 12 px wide
        tab.keyboard.press("e")
        drag(tab, (10, 2), (10, 18))  # the eraser takes a piece of it
        tab.keyboard.press("z")
        tab.fill(".another input", "split")
        tab.keyboard.press("Enter")
        tab.keyboard.press("p")
        x, y, scale = ready(tab)
        for column, row in ((40, 25), (55, 25), (55, 35), (40, 35)):
            tab.mouse.click(x + column * scale, y + row * scale)
        tab.keyboard.press("Enter")
        tab.keyboard.press("Control+s")
        tab.wait_for_url("**/parts/1")
        expect(tab.locator(".judge")).to_contain_text("Defect")
    planes = stored(tmp_path).planes()
    assert set(planes) == {"defect", "split"}
    assert int((planes["split"] > 0).sum()) == 150
    rows, columns = np.nonzero(planes["defect"])
    assert (rows.min(), rows.max()) == (4, 15)
    assert columns.min() <= 5
    assert columns.max() >= 34


def test_a_drawing_survives_the_end_of_the_session_and_another_person_who_is_quicker(
    browser: Browser, page: Page, tmp_path: Path
) -> None:
    with a_reviewer(browser, page, DRAW) as tab:
        tab.evaluate("Object.assign(localStorage, {'drawing:a': '{', 'drawing:b': '[]', 'drawing:c': 'null'})")
        drag(tab, (10, 10), (30, 10))
        until(lambda: kept(tab) == 4)
        tab.context.clear_cookies()  # the session is over
        tab.click(".desk .finish button.primary")
        expect(tab.get_by_role("dialog")).to_contain_text("Your login has ended")
        tab.goto(f"http://127.0.0.1:{page.port}/review")
        tab.click(".unfinished a")
        log_in(tab)
        bar = tab.locator(".desk .note")
        expect(bar).to_contain_text("was not stored")
        expect(tab.locator(".desk .finish button.primary")).to_be_disabled()
        theirs = {"version": 0, "width": 60, "height": 40, "classes": ["defect"], "runs": [0, 2400]}
        assert page.visitor(Role.ADMIN).ask("POST", "/api/parts/1/cam1/drawing", theirs).status == 200
        bar.locator("button.primary").click()
        tab.click(".desk .finish button.primary")
        expect(bar).to_contain_text("admin stored a drawing of this view")
        bar.locator("button.primary").click()
        tab.wait_for_url("**/review")
        assert kept(tab) == 3, "what is no drawing is left alone"
    assert stored(tmp_path).version == 2
    assert stored(tmp_path).pixels().any()


def test_one_finger_draws_and_two_zoom_on_a_phone(browser: Browser, page: Page, tmp_path: Path) -> None:
    with a_reviewer(browser, page, "/parts/2/draw", **PHONE) as tab:
        expect(tab.locator(".desk .says")).to_contain_text("This is what the model saw")
        touch = finger_of(tab)
        touch("touchStart", (40, 30))
        touch("touchMove", (50, 30))
        touch("touchEnd")
        touch("touchStart", (20, 20))
        touch("touchStart", (20, 20), (30, 20))
        touch("touchMove", (10, 20), (40, 20))
        touch("touchEnd")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        assert tab.evaluate(ACCESSIBILITY) == []
        assert "scale(1)" not in tab.locator(".stage canvas").get_attribute("style")
        tab.tap(".desk .finish button.primary")
        tab.wait_for_url("**/parts/2")
    pixels = stored(tmp_path).pixels()
    assert pixels[30, 45] == 1
    assert pixels[12, 15] == 1, "what the model saw stays"
    assert int(pixels[:, 31:].sum()) == int(pixels[20:, 31:].sum()), "the second finger left nothing"


def test_by_finger_from_no_model_to_a_judged_picture(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Collect, draw, bring a folder of pictures, teach, accept, judge."""
    with (
        serving(collecting(tmp_path, monkeypatch)) as page,
        a_reviewer(browser, page, "/", role=Role.ADMIN, **PHONE) as tab,
    ):
        panel = tab.locator(".collect")
        expect(panel).to_contain_text("Part 2")
        panel.locator(".mark-as.defect").tap()
        expect(panel).to_contain_text("1 bad")
        assert tab.evaluate(ACCESSIBILITY) == []
        panel.locator("a").first.tap()
        tab.locator("tbody tr").first.tap()
        tab.locator("a.draw").tap()
        ready(tab)
        tab.tap(".desk .finish button.primary")
        tab.wait_for_url("**/parts/2")

        tab.goto(f"http://127.0.0.1:{page.port}/uploads")
        good, bad = pictures(tmp_path)
        tab.set_input_files("input[name=folder]", good)
        expect(tab.locator(".uploads")).to_contain_text("8 stored, 1 refused, 0 not sent.")
        expect(tab.locator(".refused")).to_have_text("broken.png: is not an image that can be read")
        tab.select_option(".uploads select", "draw")
        tab.set_input_files("input[name=files]", bad)
        expect(tab.locator(".uploads .worst li").first).to_contain_text("to be drawn on")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        assert tab.evaluate(ACCESSIBILITY) == []
        tab.locator(".uploads .worst a").first.tap()
        expect(tab.locator(".desk .says")).to_contain_text("No model has looked at this picture")
        touch = finger_of(tab, (64, 64))
        touch("touchStart", (20, 20))
        touch("touchMove", (40, 20))
        touch("touchEnd")
        tab.click(".desk .finish button.primary")  # a tap right after a stroke would only end the stroke's fling
        tab.wait_for_url("**/uploads")
        expect(tab.locator(".uploads")).to_contain_text("0 wait for a drawing, 9 are learned from")

        tab.goto(f"http://127.0.0.1:{page.port}/teach")
        expect(tab.locator(".teach")).to_contain_text("Pictures from elsewhere: 9.")
        tab.locator(".teach form button").tap()
        expect(tab.locator(".report")).to_contain_text("It learnt from 8 good pictures", timeout=60_000)
        tab.locator(".report button.primary").tap()
        expect(tab.locator(".report")).to_contain_text("Installed")
    (tmp_path / "mine.toml").write_text(RECIPE)
    capsys.readouterr()
    words = ["--recipe", str(tmp_path / "mine.toml"), "--models", str(tmp_path / "models")]
    assert main(["judge", str(good.parent), *words]) == 0
    said = capsys.readouterr().out
    assert "REJECT        bad.png  | anomaly" in said
    assert said.strip().endswith("8 ACCEPT, 1 NOT_INSPECTED, 1 REJECT")
    assert main(["export", str(tmp_path / "state"), "--format", "index", "--out", str(tmp_path / "out")]) == 0
    rows = [row for row in read_index(tmp_path / "out") if row["class"] != "good"]
    assert [(row["class"], row["label"], row["note"]) for row in rows] == [("defect", "1", "")] * 2


def collecting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """A station without a model. A stand-in teaches, because PyTorch is not installed here."""
    (folder / "python").write_text(f'#!/bin/sh\nexec {sys.executable} {TEACHER} "$@"\n')
    (folder / "python").chmod(0o755)
    (folder / "models").mkdir()
    monkeypatch.setattr(teach.sys, "executable", str(folder / "python"))
    monkeypatch.setattr(teach, "_missing", lambda _: [])
    for module in (teach, uploads):
        monkeypatch.setattr(module, "busy", lambda _: "")
    plant = plant_of(folder)
    file = plant.station.file
    untaught = file.model_copy(update={"segmenter": file.segmenter.model_copy(update={"driver": "untaught"})})
    station = replace(plant.station, file=untaught, models_dir=folder / "models")
    return replace(plant, boot_id=plant.results.parts(limit=1)[0].boot_id, station=station)


def pictures(folder: Path) -> tuple[Path, Path]:
    """A folder with eight good pictures and a damaged one, and a bad picture beside it."""
    good, rng = folder / "own" / "good", np.random.default_rng(1)
    good.mkdir(parents=True)
    for number in range(8):
        cv2.imwrite(str(good / f"{number}.png"), rng.integers(150, 160, (64, 64), dtype=np.uint8))
    (good / "broken.png").write_bytes(b"no picture")
    (good / "notes.txt").write_text("This is not sent.")
    bad = rng.integers(150, 160, (64, 64), dtype=np.uint8)
    bad[16:26, 18:44] = 10
    cv2.imwrite(str(good.parent / "bad.png"), bad)
    return good, good.parent / "bad.png"
