"""Debian's Chromium without a screen, on pages of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from tests.programs import program

Scheme = Literal["light", "dark"]
# Without a GPU, nor anything that asks other hosts by itself.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A page that is open, and all that it did.

    Args:
        url: Where it is.
        complaints: What it wrote as errors to the console, violations of its policy among them, and
            exceptions that nobody caught.
        addresses: All that it asked for.
    """

    page: Page
    url: str
    complaints: list[str]
    addresses: list[str]

    def must_be_clean(self, *expected: str) -> None:
        """Fail if it complained of anything else than these, or asked any other host."""
        others = [told for told in self.complaints if not any(part in told for part in expected)]
        assert not others, others
        strangers = [
            address for address in self.addresses if not address.startswith((self.url, "data:", "blob:"))
        ]
        assert not strangers, strangers


@contextmanager
def run_browser() -> Iterator[Browser]:
    """Start one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=_ARGUMENTS)
        yield browser
        browser.close()


def new_context(browser: Browser, locale: str = "en-GB") -> BrowserContext:
    """Somebody who reads that language, with a clipboard."""
    return browser.new_context(locale=locale, permissions=["clipboard-read", "clipboard-write"])


@contextmanager
def visit(
    context: BrowserContext, url: str, *, size: ViewportSize = DESKTOP, scheme: Scheme = "light"
) -> Iterator[Visit]:
    """Open a page as somebody does who was never there: what it keeps goes away with the visit."""
    page = context.new_page()
    page.set_viewport_size(size)
    page.emulate_media(color_scheme=scheme)
    opened = Visit(page=page, url=url, complaints=[], addresses=[])
    page.on("console", lambda told: opened.complaints.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on("request", lambda request: opened.addresses.append(request.url))
    page.goto(url)
    yield opened
    page.evaluate("localStorage.clear()")
    page.close()
