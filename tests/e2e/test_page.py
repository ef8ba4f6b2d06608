"""The page in a real browser, before the real gateway and server."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, ViewportSize, expect

from server.gateway.config import GatewayConfig
from tests.browser import DESKTOP, PHONE, Visit, new_context, run_browser, visit
from tests.programs import node_module
from tests.running_gateway import run_gateway
from tests.running_server import PATIENCE_SECONDS, RunningServer
from traghetto.pb.translation.v1 import translation_pb2 as pb

CAT, GATTO = "The cat is on the table.", "Il gatto è sul tavolo."
# Characters of one to four bytes before the second sentence.
TWO = f"È “qui” 🐈: the cat.\n{CAT}"
SUBTITLES = f"1\n00:00:01,000 --> 00:00:02,000\n{CAT}\n"
MAX_BYTES = 100_000
Open = Callable[..., AbstractContextManager[Visit]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    with run_browser() as running:
        yield running


@pytest.fixture(scope="module")
def opened(
    browser: Browser, server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Open]:
    context_of = functools.cache(partial(new_context, browser))
    with run_gateway(tmp_path_factory.mktemp("page") / "log", server) as gateway:
        yield lambda locale="en-GB", **how: visit(context_of(locale), f"{gateway.url}/", **how)


def write(page: Page, text: str, source: str = "en", target: str = "it") -> None:
    """Choose the languages and put a text in; it is translated when this returns."""
    expect(page.locator("#from option")).to_have_count(3)
    page.select_option("#from", source)
    page.select_option("#to", target)
    page.fill("#source", text)
    expect(page.locator("#target")).not_to_have_class(re.compile("old"))
    expect(page.locator("#target [data-sentence]").first).to_be_visible()


def lit(page: Page, name: str = "lit") -> list[list[str]]:
    return [page.locator(f"{pane} .{name}").all_text_contents() for pane in ("#mirror", "#target")]


def word(page: Page, pane: str, text: str) -> Any:
    return page.locator(f"{pane} [data-word]").get_by_text(text, exact=True).last


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_it_translates_what_is_typed_and_says_which_language_it_is(opened: Open, size: ViewportSize) -> None:
    with opened(size=size) as shown:
        page = shown.page
        expect(page.locator("#from option")).to_have_count(3)
        page.select_option("#to", "it")
        page.locator("#source").press_sequentially(CAT)
        expect(page.locator("#target")).to_have_text(GATTO)
        expect(page.locator("#status")).to_have_text("Detected: English")
        page.click("#copy")
        expect(page.locator("#copy")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == GATTO
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shown.must_be_clean()


def test_swapping_translates_the_translation(opened: Open) -> None:
    with opened() as shown:
        write(shown.page, CAT, source="auto")
        shown.page.click("#swap")
        expect(shown.page.locator("#source")).to_have_value(GATTO)
        expect(shown.page.locator("#target")).to_have_text(CAT)
        shown.must_be_clean()


def test_what_the_pointer_is_on_lights_up_in_both_texts(opened: Open) -> None:
    with opened() as shown:
        page = shown.page
        write(page, TWO)
        word(page, "#target", "gatto").hover()
        assert lit(page) == [[CAT], [GATTO]]
        assert lit(page, "linked") == [["cat"], ["gatto"]]
        box = word(page, "#mirror", "table").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert lit(page) == [[CAT], [GATTO]]
        assert lit(page, "linked") == [["table"], ["tavolo"]]
        page.mouse.move(0, 0)
        assert lit(page) == [[], []]
        shown.must_be_clean()


def test_the_caret_and_the_keys_do_what_the_pointer_does(opened: Open) -> None:
    with opened() as shown:
        page = shown.page
        write(page, TWO)
        page.focus("#source")
        page.keyboard.press("Control+End")
        page.keyboard.press("ArrowLeft")
        page.wait_for_function("document.querySelector('#target .lit')")
        assert lit(page) == [[CAT], [GATTO]]
        first, last = page.locator("#target [role=button]").first, page.locator("#target [role=button]").last
        first.focus()
        page.keyboard.press("End")
        expect(last).to_be_focused()
        assert lit(page) == [[CAT], [GATTO]]
        page.keyboard.press("Enter")
        expect(last).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#sentence-source")).to_have_text(CAT)
        shown.must_be_clean()


def test_an_alternative_takes_its_place_in_the_translation(opened: Open) -> None:
    with opened() as shown:
        page = shown.page
        write(page, TWO)
        page.locator("#target [role=button]").last.click()
        expect(page.locator("#others button")).to_have_count(2)
        other = page.locator("#others button").first.text_content() or ""
        assert other != GATTO
        page.locator("#others button").first.click()
        expect(page.locator("#target [role=button]").last).to_have_text(other)
        expect(page.locator("#others button")).to_have_text([GATTO, re.compile(".")])
        shown.must_be_clean()


def test_the_heat_map_is_a_table_of_percent(opened: Open) -> None:
    with opened() as shown:
        page = shown.page
        write(page, CAT)
        page.click("#heat summary")
        rows = page.locator("#heat tr")
        head = rows.first.locator("th[scope=col]").all_text_contents()
        assert head[1:] == ["The", "cat", "is", "on", "the", "table", ".", "</s>"]
        expect(page.locator("#heat th[scope=row]")).to_have_count(rows.count() - 1)
        weights = [int(text) for text in rows.nth(2).locator("td").all_text_contents()]
        assert len(weights) == len(head)
        assert weights.index(max(weights)) == head.index("cat")  # of "gatto"
        assert sum(weights) == pytest.approx(100, abs=len(head))
        shown.must_be_clean()


def test_another_search_is_asked_for_as_the_form_says(opened: Open) -> None:
    with opened() as shown:
        page = shown.page
        write(page, CAT)
        page.click("#settings summary")
        page.select_option("#options [name=method]", "sampling")
        page.fill("#options [name=temperature]", "0.05")
        with page.expect_request("**/v1/translate") as asked:
            page.fill("#options [name=seed]", "7")
        assert json.loads(asked.value.post_data or "")["options"] == {
            "sampling": {"temperature": 0.05, "topP": 0.9, "seed": 7},
            "attention": {},
        }
        expect(page.locator("#others-none")).to_be_visible()
        expect(page.locator("#target")).to_have_text(GATTO)
        shown.must_be_clean()


def test_a_term_of_the_glossary_box_stands_in_the_translation(opened: Open) -> None:
    with opened() as shown:
        page = shown.page
        write(page, CAT)
        page.click("#settings summary")
        with page.expect_request("**/v1/translate") as asked:
            page.fill("#glossary", "cat = micio\n")
        assert json.loads(asked.value.post_data or "")["glossary"] == [{"source": "cat", "target": "micio"}]
        expect(page.locator("#target")).to_have_text("Il micio è sul tavolo.")
        shown.must_be_clean()


def test_what_is_superseded_is_aborted(opened: Open) -> None:
    with opened() as shown:
        page = shown.page
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        page.route("**/v1/translate", hold, times=1)
        expect(page.locator("#from option")).to_have_count(3)
        page.select_option("#to", "it")
        with page.expect_request("**/v1/translate"):
            page.fill("#source", "The dog")
        with page.expect_event("requestfailed") as failed:
            page.fill("#source", CAT)
        assert failed.value.failure == "net::ERR_ABORTED"
        expect(page.locator("#target")).to_have_text(GATTO)
        expect(page.locator("#problem")).to_be_hidden()
        shown.must_be_clean()


def test_a_busy_server_is_asked_again_when_it_says(opened: Open) -> None:
    busy = {"code": 14, "message": "the queue is full"}
    with opened() as shown:
        page = shown.page
        page.route(
            "**/v1/translate",
            lambda route: route.fulfill(status=503, headers={"retry-after": "1"}, json=busy),
            times=1,
        )
        expect(page.locator("#from option")).to_have_count(3)
        page.select_option("#to", "it")
        page.fill("#source", CAT)
        expect(page.locator("#problem p")).to_have_text(
            "The server is busy. (the queue is full) Trying again in 1 s."
        )
        expect(page.locator("#target")).to_have_text(GATTO)
        expect(page.locator("#problem")).to_be_hidden()
        shown.must_be_clean("503 (Service Unavailable)")


def test_what_the_server_refuses_and_warns_of_is_told(opened: Open) -> None:
    with opened() as shown:
        page = shown.page
        write(page, "The c\u00adat is on the table.")
        expect(page.locator("#warnings li")).to_have_text(["Invisible characters were dropped."])
        page.click("#settings summary")
        page.select_option("#options [name=method]", "contrastive")
        page.fill("#options [name=topK]", "99")
        expect(page.locator("#problem p")).to_contain_text("options.contrastive_search.top_k: is 99")
        shown.must_be_clean("400 (Bad Request)")


def test_files_of_text_are_opened_and_others_are_translated(opened: Open) -> None:
    with opened() as shown:
        page = shown.page
        write(page, "Hello.")
        drop = """(text) => {
            const carried = new DataTransfer();
            carried.items.add(new File([text], "cat.txt"));
            const event = new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true });
            document.querySelector("#source").dispatchEvent(event);
        }"""
        page.evaluate(drop, CAT)
        expect(page.locator("#target")).to_have_text(GATTO)
        page.set_input_files(
            "#file", {"name": "cat.srt", "mimeType": "text/plain", "buffer": SUBTITLES.encode()}
        )
        with page.expect_download() as saved:
            page.click("#made a")
        assert Path(saved.value.path()).read_text() == SUBTITLES.replace(CAT, GATTO)
        page.set_input_files("#file", {"name": "cat.exe", "mimeType": "text/plain", "buffer": b"MZ"})
        expect(page.locator("#problem p")).to_contain_text("cat.exe: this server takes .docx")
        shown.must_be_clean()


@pytest.mark.parametrize(("size", "locale"), [(DESKTOP, "en-GB"), (PHONE, "it-IT")])
def test_axe_finds_no_fault_in_light_and_dark(opened: Open, size: ViewportSize, locale: str) -> None:
    with opened(size=size, locale=locale) as shown:
        page = shown.page
        write(page, f"The c\u00adat. {CAT}")
        page.click("#heat summary")
        page.click("#settings summary")
        page.set_input_files("#file", {"name": "cat.exe", "mimeType": "text/plain", "buffer": b"MZ"})
        expect(page.locator("#problem")).to_be_visible()
        assert page.evaluate("document.documentElement.lang") == locale[:2]
        page.evaluate(node_module("axe-core/axe.min.js").read_text())
        word(page, "#target", "gatto").hover()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate("axe.run()")
            faults = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]
            assert not faults, scheme
            assert found["passes"]
        shown.must_be_clean()


def test_theme_and_language_of_the_page_can_be_chosen_and_stay(opened: Open) -> None:
    with opened() as shown:
        page = shown.page
        paper = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(paper)
        page.click("#theme")
        page.click("#interface")
        page.reload()
        assert page.evaluate(paper) != light
        expect(page.locator("#theme")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#copy")).to_have_text("Copia")
        expect(page.locator("#to option").first).to_have_text("Inglese")
        shown.must_be_clean()


def test_every_word_is_there_in_each_language(opened: Open) -> None:
    with opened() as shown:
        keys = "import('/messages.js').then(({ MESSAGES: { en, it } }) => [Object.keys(en), Object.keys(it)])"
        english, italian = shown.page.evaluate(keys)
        assert english == italian
        assert set(pb.WarningReason.keys()) <= set(english)


def test_the_page_is_small() -> None:
    files = [path for path in GatewayConfig().page.rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) < MAX_BYTES
