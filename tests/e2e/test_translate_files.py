"""traghetto-translate with --input and --output, against the real server."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.running_server import ARTIFACT, RunningServer, run_server
from tests.unit.traghetto.misbehaving import Answer, Context, Service, busy, echo, serving
from traghetto import Client, Translation
from traghetto.pb.translation.v1 import translation_pb2 as pb

PATIENCE_SECONDS = 120.0
SRT = (
    "1\n00:00:01,000 --> 00:00:02,000\nGood morning,\nTom!\n\n2\n00:00:03,000 --> 00:00:04,000\nI am here.\n"
)


def start(address: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "server.commands.translate", "--server", address]
    return subprocess.Popen(
        [*command, "--source", "en", "--target", "it", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, errors = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, out, errors


def num_translated(server: RunningServer) -> float:
    return server.settled()['translator_finished_total{reason="eos"}']


def translated(address: str, texts: list[str], **options: Any) -> list[str]:
    with Client(address) as client:
        results = client.translate(texts, "en", "it", **options)
    return [result.text for result in results if isinstance(result, Translation)]


def never(request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
    """No answer, for as long as anybody asks."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait(PATIENCE_SECONDS)
    return pb.TranslateResponse()


def test_subtitles_are_translated_in_their_places(server: RunningServer, tmp_path: Path) -> None:
    source, output = tmp_path / "film.srt", tmp_path / "film.it.srt"
    source.write_text(SRT, encoding="utf-8")
    assert ended(start(server.address, "--input", source, "--output", output)) == (0, "", "")
    first, second = translated(server.address, ["Good morning, Tom!", "I am here."])
    lines = output.read_text(encoding="utf-8").splitlines()
    assert " ".join(lines[2:4]) == first
    assert lines[:2] + lines[4:7] == [*SRT.splitlines()[:2], *SRT.splitlines()[4:7]]
    assert lines[7:] == [second]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.it.srt", "film.srt"]


def test_a_command_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    source, output = tmp_path / "book.txt", tmp_path / "book.it.txt"
    texts = [f"I have {number} cats." for number in range(400)]
    source.write_text("\n\n".join(texts), encoding="utf-8")
    journal = tmp_path / "book.it.txt.journal"
    with run_server(tmp_path / "log", ARTIFACT, "--slots=4") as running:
        process = start(running.address, "--input", source, "--output", output, "--beam-size", 1)
        while not journal.exists() or journal.read_text(encoding="utf-8").count("\n") < 40:
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not output.exists()
        num_done = num_translated(running)
        assert ended(start(running.address, "--input", source, "--output", output, "--beam-size", 1))[0] == 0
        assert num_translated(running) - num_done < 400 - 30  # what the journal had was not asked for again
        expected = translated(running.address, texts, beam_size=1)
    assert output.read_text(encoding="utf-8") == "\n\n".join(expected)
    assert not journal.exists()


@pytest.mark.parametrize("then", [never, busy(50)], ids=["a call hangs", "a text waits"])
def test_an_interrupt_ends_it_at_once_with_a_line_that_says_how_to_go_on(
    tmp_path: Path, then: Answer
) -> None:
    source, output = tmp_path / "book.txt", tmp_path / "book.it.txt"
    texts = [f"I have {number} cats." for number in range(40)]
    source.write_text("\n\n".join(texts), encoding="utf-8")
    journal = tmp_path / "book.it.txt.journal"
    arguments = ("--input", source, "--output", output, "--timeout", 100)

    def answer(request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
        return (echo if texts[0] in request.texts else then)(request, context)

    with serving(Service(answer)) as address:
        process = start(address, *arguments)
        while not journal.exists() or journal.read_text(encoding="utf-8").count("\n") < 1 + 16:
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=40)  # less than any call or wait has
    line = f"traghetto-translate: interrupted; the same command goes on where it was, with {journal}\n"
    assert (process.returncode, out, errors) == (130, "", line)
    service = Service(echo)
    with serving(service) as address:
        assert ended(start(address, *arguments))[0] == 0
    assert sum(service.sizes) == len(texts) - 16
    assert output.read_text(encoding="utf-8") == "\n\n".join(texts)


def test_styles_of_a_document_stand_at_words_of_its_translation(
    server: RunningServer, tmp_path: Path
) -> None:
    source, output = tmp_path / "letter.docx", tmp_path / "letter.it.docx"
    document = (
        '<w:document xmlns:w="w"><w:body><w:p><w:r><w:t xml:space="preserve">The cat is on the </w:t></w:r>'
        "<w:r><w:rPr><w:b/></w:rPr><w:t>table</w:t></w:r><w:r><w:t>.</w:t></w:r></w:p></w:body></w:document>"
    )
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("word/document.xml", document)
        archive.writestr("word/styles.xml", "<w:styles/>")
    assert ended(start(server.address, "--input", source, "--output", output)) == (0, "", "")
    (expected,) = translated(server.address, ["The cat is on the table."])
    with zipfile.ZipFile(output) as archive:
        written = archive.read("word/document.xml").decode()
        assert archive.read("word/styles.xml") == b"<w:styles/>"
    shown = re.findall(r"<w:r>(<w:rPr><w:b/></w:rPr>)?<w:t[^>]*>([^<]*)</w:t></w:r>", written)
    assert "".join(text for _, text in shown) == expected
    assert len([text for style, text in shown if style]) == 1


def test_a_web_page_keeps_all_but_its_words(server: RunningServer, tmp_path: Path) -> None:
    source, output = tmp_path / "page.html", tmp_path / "page.it.html"
    page = "<!doctype html>\n<p class=a>The cat is <em>on the table</em>.</p>\n<script>a < b</script>\n"
    source.write_text(page, encoding="utf-8")
    assert ended(start(server.address, "--input", source, "--output", output)) == (0, "", "")
    written = output.read_text(encoding="utf-8")
    (expected,) = translated(server.address, ["The cat is on the table."])
    assert re.fullmatch(r"<!doctype html>\n<p class=a>(.*)</p>\n<script>a < b</script>\n", written)
    assert re.sub(r"<script>.*</script>|<[^>]*>", "", written).strip() == expected
    assert written.count("<em>") == written.count("</em>") == 1


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--input", "a.txt"), "--input needs --output"),
        (("--output", "a.txt"), "--output needs --input"),
        (("--input", "a.txt", "--output", "b.txt", "Hello."), "--input goes with no text"),
        (("--input", "a.txt", "--output", "./a.txt"), "--output is --input"),
        (("--input", "nowhere.txt", "--output", "b.txt"), "nowhere.txt: No such file or directory"),
        (("--input", "README.md.bak", "--output", "b.txt"), "ends in '.bak', known are"),
    ],
)
def test_what_it_cannot_take_ends_it_with_a_line(
    server: RunningServer, arguments: tuple[str, ...], fault: str
) -> None:
    status, out, errors = ended(start(server.address, *arguments))
    assert (status, out) == (2, "")
    assert fault in errors
    assert "Traceback" not in errors
