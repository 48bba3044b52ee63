"""A headless Chromium that speaks to nobody but the page under test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect, sync_playwright
from playwright.sync_api import Page as Tab
from support.page import PASSWORD, Page

PROGRAM = os.environ.get("CHROMIUM", shutil.which("chromium") or shutil.which("chromium-browser") or "")
_ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--no-first-run",
    "--no-sandbox",  # containers have no user namespaces; the only page it opens is ours
)

expect.set_options(timeout=30_000)  # ms. A busy machine draws a page in seconds


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser with a profile of its own that is thrown away."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def a_tab(browser: Browser, page: Page, path: str = "/", **options: object) -> Iterator[Tab]:
    """A browser's tab. Nothing may go wrong in it, and it may ask nobody else."""
    context = browser.new_context(**{"locale": "en-GB", "viewport": {"width": 1600, "height": 900}, **options})
    context.set_default_timeout(20_000)
    tab, wrong = context.new_page(), list[str]()
    base = f"http://127.0.0.1:{page.port}"
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda asked: None if asked.url.startswith((base, "data:")) else wrong.append(asked.url))
    tab.goto(base + path)
    tab.wait_for_selector("main > *")
    yield tab
    context.close()
    assert wrong == []


def log_in(tab: Tab, name: str) -> None:
    """Fill in the dialog that asks for it, by keyboard alone."""
    tab.wait_for_selector("dialog[open] input[name=name]")
    tab.keyboard.type(name)
    tab.keyboard.press("Tab")
    tab.keyboard.type(PASSWORD)
    tab.keyboard.press("Enter")
