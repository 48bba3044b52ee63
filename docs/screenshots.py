"""Makes docs/images/*.png: every page of a running demo line, in light and dark. `make screenshots` runs it."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from chromium import browsing  # noqa: E402 -- the tests' way to start a browser
from PIL import Image  # noqa: E402
from playwright.sync_api import Browser, Error, Page  # noqa: E402

from edge_inspector.simulation.demo import Demo, DemoOptions  # noqa: E402
from edge_inspector.store.users import Role, new_user, write_users  # noqa: E402

_PASSWORD = "only for pictures"  # noqa: S105 -- of a station that lives for two minutes
_SIZE = {"width": 1920, "height": 1080}
_KEPT = (1440, 810)
_LARGEST = 150_000
_PATIENCE_S = 120

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
    options = DemoOptions(parts=5000, speed_mm_s=400.0, review_band=(0.15, 0.85), seed=11)
    with tempfile.TemporaryDirectory() as folder:
        write_users(Path(folder) / "users", {"anna": new_user("anna", Role.ADMIN, _PASSWORD)})
        demo = Demo(options, Path(folder))
        with demo.running():
            os.nice(15)  # drawing pages in software must not take the time of the line that they show
            with browsing() as browser:
                _until_something_happened(browser, demo.page)
                for scheme in ("light", "dark"):
                    _take(browser, demo.page, scheme)
    return 0


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
    context = browser.new_context(viewport=_SIZE, color_scheme=scheme, locale="en-GB")
    page = context.new_page()
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
    for name in ("review", "health"):
        page.goto(base + name)
        page.wait_for_timeout(2500)
        _keep(page, f"{name}-{scheme}")
    context.close()


def _keep(page: Page, name: str) -> None:
    """Smaller, and with a palette."""
    path = DOCS / "images" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    shot = Image.open(BytesIO(page.screenshot())).convert("RGB").resize(_KEPT, Image.Resampling.LANCZOS)
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
