"""Takes the pictures of the page in docs/ from a real server and browser: `make page-preview`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Page

from tests.browser import DESKTOP, PHONE, new_context, run_browser, visit
from tests.running_gateway import run_both
from tests.running_server import ARTIFACT

DOCS = Path(__file__).parents[1] / "docs"
TEXT = "The cat is on the table. I live near the sea.\n\nWhere is the station?"


def main() -> None:
    """Run the command."""
    with (
        tempfile.TemporaryDirectory() as folder,
        run_both(Path(folder), ARTIFACT) as gateway,
        run_browser() as browser,
    ):
        url = f"{gateway.url}/"
        with visit(new_context(browser), url, size=DESKTOP) as shown:
            translate(shown.page)
            shown.page.screenshot(path=DOCS / "page.png")
        with visit(new_context(browser, "it-IT"), url, size=PHONE, scheme="dark") as shown:
            translate(shown.page)
            shown.page.click("#heat summary")
            shown.page.screenshot(path=DOCS / "page-phone.png", full_page=True)


def translate(page: Page) -> None:
    """Have the text translated, and the pointer on a word of it."""
    page.locator("#from option").nth(2).wait_for(state="attached")
    page.select_option("#to", "it")
    page.fill("#source", TEXT)
    page.locator("#target [data-word='1']").first.wait_for()
    page.locator("#target [data-word='1']").first.hover()


if __name__ == "__main__":
    main()
