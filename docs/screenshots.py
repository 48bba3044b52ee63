"""Makes docs/images/*.png: every page of a running demo line, in light and dark. `make screenshots` runs it.

Under docs/images/all is every page in every state of the station, on a wide screen, a laptop and a phone, to look at
after a change. They are not in git. Arguments are names of states, `docs` or `fleet`: then only those are made.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from PIL import Image  # noqa: E402
from playwright.sync_api import Browser, Error, Page  # noqa: E402
from support.chromium import browsing  # noqa: E402 -- the tests' way to start a browser
from support.simulated_stations import SimulatedStation, SimulatedStations, fleet_text  # noqa: E402

from edge_inspector.codes import ErrorCode  # noqa: E402
from edge_inspector.fleet.serve import Fleet  # noqa: E402
from edge_inspector.fleet.tables import read_fleet  # noqa: E402
from edge_inspector.simulation.demo import Demo, free_port  # noqa: E402
from edge_inspector.simulation.options import DemoOptions  # noqa: E402
from edge_inspector.store.users import Role, new_user, write_users  # noqa: E402

_PASSWORD = "only for pictures"  # noqa: S105 -- of a station that lives for two minutes
_SIZE = {"width": 1920, "height": 1080}
_KEPT = (1440, 810)
_LARGEST = 150_000
_PATIENCE_S = 120
_WIDTHS = {1920: 1080, 1280: 800, 390: 844}  # with their heights
# {part} is a rejected part. Everything that can be opened is open.
_PAGES = (
    "",
    "?wall=1",
    "parts",
    "parts/{part}",
    "parts/{part}/draw",
    "review",
    "trends",
    "events",
    "recipes",
    "cameras",
    "teach",
    "uploads",
    "health",
    "checks",
)
_OPEN = "document.querySelectorAll('main details').forEach((each) => { each.open = true; })"
_SLOW_MS = 180_000  # for a step in a browser that draws in software beside a line that must not wait for it

# A camera's picture with something coloured in it: the tiles themselves are grey.
_SHOWS_A_DEFECT = """() => [...document.querySelectorAll(".glass img")].some((image) => {
    const canvas = new OffscreenCanvas(112, 112).getContext("2d");
    canvas.drawImage(image, 0, 0, 112, 112);
    const { data } = canvas.getImageData(0, 0, 112, 112);
    let coloured = 0;
    for (let at = 0; at < data.length; at += 4) {
        const [r, g, b] = data.subarray(at, at + 3);
        coloured += Math.max(r, g, b) - Math.min(r, g, b) > 90;
    }
    return coloured > 60 && document.querySelector(".strip li:nth-child(-n+4) .reject");
})"""


def main() -> int:
    """Run the line until something is to be seen, then take the pictures."""
    wanted = sys.argv[1:]
    options = DemoOptions(parts=50_000, speed_mm_s=400.0, review_band=(0.15, 0.85), seed=11)
    with tempfile.TemporaryDirectory() as folder:
        write_users(Path(folder) / "users", {"anna": new_user("anna", Role.ADMIN, _PASSWORD)})
        demo = Demo(options, Path(folder))
        with demo.running():
            os.nice(15)  # drawing pages in software must not take the time of the line that they show
            with browsing() as browser:
                _until_something_happened(browser, demo.page)
                if not wanted or "docs" in wanted:
                    for scheme in ("light", "dark"):
                        _take(browser, demo.page, scheme)
                if not wanted or "fleet" in wanted:
                    _take_fleet(browser, Path(folder))
                for name, state in _STATES.items():
                    if not wanted or name in wanted:
                        with state(demo, browser):
                            _take_all(browser, demo, name)
    return 0


@contextmanager
def _ready(demo: Demo, browser: Browser) -> Iterator[None]:
    del demo, browser
    yield


@contextmanager
def _without(what: str, demo: Demo, browser: Browser) -> Iterator[None]:
    """The line while the PLC or the broker is dead."""
    del browser
    demo.kill(what)
    time.sleep(3)
    yield
    demo.revive(what)
    time.sleep(5)


@contextmanager
def _switched_off(demo: Demo, browser: Browser) -> Iterator[None]:
    page = _open(browser, 1280)
    page.goto(demo.page)
    _command(page, "disable")
    yield
    _command(page, "enable")
    page.context.close()
    time.sleep(3)


@contextmanager
def _lost(demo: Demo, browser: Browser) -> Iterator[None]:
    """Screens that had a page when the station stopped to answer."""
    del browser
    yield
    os.kill(demo.daemon.pid, signal.SIGCONT)


_STATES: dict[str, Callable[[Demo, Browser], AbstractContextManager[None]]] = {
    "ready": _ready,
    "off": _switched_off,
    "degraded": partial(_without, "broker"),
    "fault": partial(_without, "plc"),
    "past": _ready,  # the fault is over, and nobody has acknowledged it
    "lost": _lost,
}


def _command(page: Page, name: str) -> None:
    """Log in, and give this command. Without a name only log in."""
    page.evaluate(
        """async ([name, password, command]) => {
            const post = (url, body, headers) => fetch(url, { method: "POST", body: JSON.stringify(body), headers });
            const { csrf } = await (await post("/api/login", { name, password })).json();
            if (command) await post("/api/command", { name: command }, { "X-CSRF-Token": csrf });
        }""",
        ["anna", _PASSWORD, name],
    )


def _until_something_happened(browser: Browser, base: str) -> None:
    page = browser.new_page()
    for _ in range(_PATIENCE_S):
        time.sleep(1)
        try:
            page.goto(f"{base}health")
            if (
                _ask(page, "/api/review").get("parts")
                and len(_ask(page, "/api/parts?decision=reject").get("parts", [])) > 5
            ):
                break
        except Error:  # the daemon is not up yet
            continue
    page.close()


def _ask(page: Page, path: str) -> dict[str, list[dict[str, int]]]:
    found: dict[str, list[dict[str, int]]] = page.evaluate("path => fetch(path).then(a => a.json())", path)
    return found


def _take(browser: Browser, base: str, scheme: str) -> None:
    page = _open(browser, _SIZE["width"], scheme)
    page.goto(base)
    page.wait_for_timeout(5000)
    for _ in range(_PATIENCE_S * 5):
        if page.evaluate(_SHOWS_A_DEFECT):
            break
        page.wait_for_timeout(200)
    _keep(page, f"live-{scheme}")
    rejected = _ask(page, "/api/parts?decision=reject")["parts"][0]["id"]
    for name, path, sign in (
        ("parts", "parts", "table.parts tbody tr"),
        ("part", f"parts/{rejected}", ".stage .mask:not([hidden])"),
    ):
        page.goto(base + path)
        page.wait_for_selector(sign)
        page.wait_for_timeout(1500)
        _keep(page, f"{name}-{scheme}")
    page.goto(f"{base}review")
    page.click("#login")
    page.fill("dialog input[name=name]", "anna")
    page.fill("dialog input[name=password]", _PASSWORD)
    page.press("dialog input[name=password]", "Enter")
    page.wait_for_selector("#logout")
    for name in ("review", "trends", "events", "recipes", "cameras", "health"):
        page.goto(base + name)
        page.wait_for_timeout(2500)
        _keep(page, f"{name}-{scheme}")
    page.context.close()


def _take_fleet(browser: Browser, folder: Path) -> None:
    """The page of all stations, with simulated ones."""
    reasons = {2: (ErrorCode.PLC_LOST, "plc", "no answer within 0.5 s"), 5: (ErrorCode.CAMERA_LOST, "top", "")}
    stations = [
        SimulatedStation(f"line-{at}", reasons=[reasons[at]] if at in reasons else (), boot_id=at)
        for at in range(1, 17)
    ]
    stations[6].clock_s, stations[10].answers = 7200.0, lambda _: b""
    port = free_port()
    with SimulatedStations(*stations) as server:
        text = f'name = "Works Berlin"\n{fleet_text([], port=port)}'
        for at, station in enumerate(stations):
            text += f'[[stations]]\nname = "{station.name}"\naddress = "{server.at(station.name)}"\n'
            text += f'site = "Hall {1 + at // 8}"\nplace = "Press {at % 8 + 1}"\n'
        (folder / "fleet.toml").write_text(text)
        fleet = Fleet(read_fleet(folder / "fleet.toml"))
        fleet.start()
        try:
            page = _open(browser, 1280)
            time.sleep(8)
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_timeout(4000)
            _keep(page, "fleet")
            page.context.close()
        finally:
            fleet.stop()


def _open(browser: Browser, width: int, scheme: str = "light") -> Page:
    size, phone = {"width": width, "height": _WIDTHS.get(width, 1080)}, width < 600
    context = browser.new_context(viewport=size, color_scheme=scheme, locale="en-GB", is_mobile=phone, has_touch=phone)
    context.set_default_timeout(_SLOW_MS)
    return context.new_page()


def _take_all(browser: Browser, demo: Demo, state: str) -> None:
    """Every page in this state as an admin sees it, at every width. For people who change the page: not kept in git."""
    for width in _WIDTHS:
        page = _open(browser, width)
        page.goto(demo.page)
        _command(page, "")
        part = str(_ask(page, "/api/parts?decision=reject")["parts"][0]["id"])
        for path in _PAGES:
            page.goto(demo.page + path.replace("{part}", part))
            page.wait_for_selector("main > *")
            page.evaluate(_OPEN)
            page.wait_for_timeout(1500)
            if state == "lost":
                os.kill(demo.daemon.pid, signal.SIGSTOP)
                page.wait_for_timeout(6000)
            name = path.replace("?", "").replace("s/{part}", "").replace("/", "-") or "live"
            _keep(page, f"all/{state}-{name}-{width}", size=None)
            if state == "lost":
                os.kill(demo.daemon.pid, signal.SIGCONT)
        page.context.close()


def _keep(page: Page, name: str, size: tuple[int, int] | None = _KEPT) -> None:
    """Smaller, and with a palette."""
    path = DOCS / "images" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    whole = size is None  # to look at, not for the docs
    shot = Image.open(BytesIO(page.screenshot(timeout=_SLOW_MS, full_page=whole))).convert("RGB")
    if size is not None:
        shot = shot.resize(size, Image.Resampling.LANCZOS)
    for colours in (192, 128, 96, 64, 48, 32):
        shot.quantize(palette=_palette(shot, colours), dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= _LARGEST:
            break
    print(f"{path.relative_to(DOCS.parent)}: {path.stat().st_size // 1024} KiB")


def _palette(shot: Image.Image, common: int) -> Image.Image:
    """So many colours by how common they are, for the tiles; and 64 that lie far apart, for the page's few pixels."""
    parts = [
        (shot.quantize(common, Image.Quantize.MEDIANCUT), common),
        (shot.quantize(64, Image.Quantize.MAXCOVERAGE), 64),
    ]
    colours = [value for part, count in parts for value in (part.getpalette() or [])[: 3 * count]]
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours)
    return palette


if __name__ == "__main__":
    sys.exit(main())
