"""A quality engineer's walk in a real browser: challenge the line, edit a limit, see who did it, and roll back."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is not installed")

from playwright.sync_api import Browser, expect
from support.chromium import PROGRAM, browsing
from support.page import PASSWORD, SILENT_PLC, Page, plant_of, serving, station_files
from support.verdicts import defect, placed, verdict

from edge_inspector.codes import Decision
from edge_inspector.inspection.control import Control
from edge_inspector.pipeline import challenge_rules
from edge_inspector.records import ChallengeRun, Command
from edge_inspector.runtime.clock import utc_of
from edge_inspector.store.audit import append
from edge_inspector.store.challenges import append_challenge, stored
from edge_inspector.watches.challenge import Challenging
from edge_inspector.watches.challenge_due import ChallengeDue, Schedule

pytestmark = [pytest.mark.system, pytest.mark.skipif(not PROGRAM, reason="Chromium is not installed")]

ACCESSIBILITY = (Path(__file__).parent / "accessibility.js").read_text()
PARTS = """
[[challenge.parts]]
recipe = 1
name = "master 7"
expect = "accept"
[[challenge.parts]]
recipe = 1
name = "scratch 2"
expect = "reject"
finds = ["defect"]
[record]
budget_mb = 10
[web]
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as started:
        yield started


class Line:
    """The judge's part of a challenge, behind the page."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def write(folder: Path, web: str = "") -> Path:
            path = station_files(folder, web)
            path.write_text(path.read_text().replace("[web]\n", PARTS))
            return path

        monkeypatch.setattr("support.page.station_files", write)
        plant = plant_of(folder)
        rules = challenge_rules(plant.station)
        self.state_dir = plant.station.state_dir
        self.challenging = Challenging(rules, plant.conditions, self._keep)
        self._control = Control(plant.station.recipes, 1, plant.conditions.reset, changed=plant.keep)
        due = ChallengeDue(
            Schedule(shifts=["06:00"], each_shift=True),
            last={},
            ran=lambda: self.challenging.last,
            runs=lambda: self.challenging.running,
            challenged=lambda recipe_id: recipe_id in rules.parts,
            criteria=lambda _: "c0ffee",
            conditions=plant.conditions,
        )
        self.look = due.look
        self.plant = replace(plant, submit=self._submit, challenges=due)

    def _submit(self, command: Command) -> None:
        now = time.monotonic_ns()

        def begin() -> str:
            return self.challenging.begin(who=command.source, recipe_id=1, criteria="c0ffee", now_ns=now)

        self._control.take(command, now, challenge=begin)
        self._control.hear(SILENT_PLC)

    def _keep(self, run: ChallengeRun) -> None:
        append_challenge(self.state_dir, stored(run, utc_of(run.ended_ns)))

    def part(self, decision: Decision) -> None:
        """The next part on the belt was decided."""
        views = (placed(defects=[defect(defect_class="defect")]),) if decision is Decision.REJECT else (placed(),)
        running = self.challenging.running
        assert running is not None
        name = running.parts[len(running.seen)].name
        self.challenging.count(
            verdict(1, decision, views=views, challenge=name, recipe_id=1, decided_ns=time.monotonic_ns())
        )
        self.look(1)


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(tmp_path, monkeypatch)


def write_down(page: Page) -> None:
    """What the archive's thread does with changes."""
    for change in page.kept():
        append(page.plant.station.state_dir, change, utc_of(time.monotonic_ns()))


def test_challenge_edit_and_roll_back(browser: Browser, line: Line) -> None:
    line.look(1)
    with serving(line.plant) as page:
        context = browser.new_context(locale="en-GB", viewport={"width": 1600, "height": 900})
        context.set_default_timeout(20_000)
        tab = context.new_page()
        wrong: list[str] = []
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("dialog", lambda dialog: dialog.accept())
        tab.goto(f"http://127.0.0.1:{page.port}/checks")
        expect(tab.locator("main")).to_contain_text("A challenge is due: no challenge was passed yet")
        tab.click("#login")
        tab.wait_for_selector("dialog[open] input[name=name]")
        tab.fill("dialog[open] input[name=name]", "admin")
        tab.fill("dialog[open] input[name=password]", PASSWORD)
        tab.keyboard.press("Enter")
        # Challenge: the first one fails, because a bad part is accepted.
        tab.click("[data-name=challenge]")
        expect(tab.locator(".challenge-now")).to_contain_text("Put master 7 on the belt now (part 1 of 2).")
        line.part(Decision.ACCEPT)
        expect(tab.locator(".challenge-now")).to_contain_text("Put scratch 2 on the belt now (part 2 of 2).")
        line.part(Decision.ACCEPT)
        expect(tab.locator(".challenges")).to_contain_text("scratch 2 must be reject: defect, and was accept")
        tab.click("[data-name=challenge]")
        expect(tab.locator(".challenge-now")).to_contain_text("part 1 of 2")
        line.part(Decision.ACCEPT)
        line.part(Decision.REJECT)
        expect(tab.locator(".challenge-now")).to_contain_text("Passed on")
        tab.click("[data-name=record]")
        expect(tab.locator("main")).to_contain_text("The next start of the service begins a new record.")
        assert tab.evaluate(ACCESSIBILITY) == []
        # Edit: another limit, as a version that is put in force.
        tab.click("nav a[href$='/recipes']")
        tab.fill("input[name=comment]", "fewer false rejects")
        tab.locator("table.limits input").first.fill("7.5")
        tab.click("text=Save as a new version")
        expect(tab.locator(".versions")).to_contain_text("fewer false rejects")
        tab.click("[data-version='1']")
        expect(tab.locator("main")).to_contain_text("From the next start of the station on: Version 1.")
        # Roll back: the recipe's file judges again.
        tab.click("[data-version='0']")
        expect(tab.locator("main")).not_to_contain_text("From the next start of the station on: Version 1.")
        # Who did it.
        write_down(page)
        tab.click("nav a[href$='/checks']")
        expect(tab.locator("main")).to_contain_text("The chain is whole")
        for words in ("chose a version of", "fewer false rejects", "recording of shifts", "admin"):
            expect(tab.locator("main tbody").last).to_contain_text(words)
        tab.fill("input[type=search]", "fewer")
        expect(tab.locator("main tbody").last.locator("tr")).to_have_count(2)  # saved, and put in force
        context.close()
        assert wrong == []
