"""The browser that the tests drive."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# Chromium's own sandbox does not run as root, and the pages are ours.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-sync",
    "--disable-component-update",
)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium. The test is skipped, with the reason, where there is none."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="There is no playwright; install the dependency group `browser`."
    )
    path = chromium()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield browser
        browser.close()


def chromium() -> str:
    """The command of an installed Chromium. The test is skipped, with the reason, where there is none."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.skip(f"There is no browser: none of {', '.join(CHROMIUM)} is installed.")
    return path
