"""What traghetto-translate makes of its input: what no server sees, and a file with lines that fail."""

from __future__ import annotations

import io
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import grpc
import pytest

from server.commands.translate import main
from tests.unit.traghetto.misbehaving import Answer, Context, Service, busy, echo, refuse, serving
from traghetto.pb.translation.v1 import translation_pb2 as pb


@contextmanager
def file_of(content: bytes) -> Iterator[TextIO]:
    """A file as a shell gives it to a command."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        yield io.TextIOWrapper(file)


@pytest.fixture
def run_in_vain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run the command where no server is; it must say what is wrong with its input and draw nothing."""

    def run(*arguments: str, stdin: str = "") -> str:
        flags = ["--source=en", "--target=it", "--server=127.0.0.1:1", f"--attention={tmp_path / 'a.png'}"]
        monkeypatch.setattr(sys, "argv", ["traghetto-translate", *flags, *arguments])
        with file_of(stdin.encode()) as file:
            monkeypatch.setattr(sys, "stdin", file)
            assert main() == 2
        printed, error = capsys.readouterr()
        assert printed == ""
        assert not list(tmp_path.iterdir())
        return error

    return run


def test_without_matplotlib_nothing_is_translated_only_to_be_lost(
    run_in_vain: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'traghetto-server[draw]'" in run_in_vain("Good morning.")


@pytest.mark.parametrize(("stdin", "count"), [("", "none"), ("One.\nTwo.\nThree.\n", "more")])
def test_attention_is_drawn_of_exactly_one_line(
    run_in_vain: Callable[..., str], stdin: str, count: str
) -> None:
    expected = f"traghetto-translate: --attention draws one text, standard input has {count}\n"
    assert run_in_vain(stdin=stdin) == expected


@pytest.fixture
def translate_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, list[str]]]:
    """Run the command on a file, with a server that answers so; gives status, output and messages."""

    def run(content: bytes, answer: Answer, *flags: str) -> tuple[int, str, list[str]]:
        with serving(Service(answer)) as address, file_of(content) as file:
            arguments = ["--source=en", "--target=it", f"--server={address}", *flags]
            monkeypatch.setattr(sys, "argv", ["traghetto-translate", *arguments])
            monkeypatch.setattr(sys, "stdin", file)
            status = main()
        printed, errors = capsys.readouterr()
        return status, printed, errors.splitlines()

    return run


def failing(text: str, failure: Answer) -> Answer:
    """Answer as `failure` does to one text, and repeat any other."""

    def answer(request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
        return (failure if list(request.texts) == [text] else echo)(request, context)

    return answer


def fault(request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
    refuse(context, grpc.StatusCode.INTERNAL, "a fault")


def not_served(request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
    refuse(context, grpc.StatusCode.NOT_FOUND, "no such pair")


@pytest.mark.parametrize(
    ("line", "failure", "message"),
    [
        (b"bad", fault, "INTERNAL: a fault"),
        (b"bad", busy(600), "RESOURCE_EXHAUSTED: the queue is full"),
        (b"a" * 5_000_000, echo, "RESOURCE_EXHAUSTED"),
        (b"caf\xe9", echo, "the line is no UTF-8: byte 4 is 0xe9"),
    ],
    ids=["fault", "busy", "too large", "no UTF-8"],
)
def test_a_line_that_fails_is_empty_and_named_and_the_rest_is_translated(
    translate_lines: Callable[..., tuple[int, str, list[str]]], line: bytes, failure: Answer, message: str
) -> None:
    content = b"\n".join((b"One.", line, b"Three.\r", *(b"More.",) * 200))
    status, printed, errors = translate_lines(content, failing("bad", failure))
    assert (status, printed) == (1, "One.\n\nThree.\n" + "More.\n" * 200)
    (error,) = errors
    assert error.startswith("traghetto-translate: text 2: ")
    assert message in error


def test_a_page_is_one_text_and_printed_as_it_comes(
    translate_lines: Callable[..., tuple[int, str, list[str]]],
) -> None:
    page = "<p>One.\r\n<!-- no -->\n</p>"
    status, printed, _ = translate_lines(page.encode(), echo, "--format=html")
    assert (status, printed) == (0, page)


def test_a_late_line_costs_no_other(translate_lines: Callable[..., tuple[int, str, list[str]]]) -> None:
    is_over = threading.Event()

    def late(request: pb.TranslateRequest, context: Context) -> pb.TranslateResponse:
        context.add_callback(is_over.set)
        is_over.wait()
        return echo(request, context)

    status, printed, errors = translate_lines(b"One.\nlate\nThree.\n", failing("late", late), "--timeout=3")
    assert (status, printed) == (1, "One.\n\nThree.\n")
    assert errors[0].startswith("traghetto-translate: text 2: DEADLINE_EXCEEDED")


def test_what_every_line_would_meet_ends_the_file_at_the_first(
    translate_lines: Callable[..., tuple[int, str, list[str]]],
) -> None:
    status, printed, errors = translate_lines(b"One.\nTwo.\nThree.\n", failing("Two.", not_served))
    assert (status, printed) == (1, "One.\n")
    assert errors == ["traghetto-translate: text 2: NOT_FOUND: no such pair"]
