"""The command traghetto-translate, against the real server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from server.client import CallError, Client
from server.pb.translation.v1 import translation_pb2 as pb

if TYPE_CHECKING:
    from tests.e2e.conftest import RunningServer

PATIENCE_SECONDS = 120.0
Translate = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def translate(server: RunningServer) -> Translate:
    """Run the command on the running server."""

    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        options = ("--server", server.address, "--source", "en", "--target", "it")
        return subprocess.run(
            [sys.executable, "-m", "server.translate_command", *options, *arguments],
            input=stdin,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    return run


def expected(server: RunningServer, texts: list[str]) -> list[str]:
    with Client(server.address) as client:
        results = client.translate(texts, "en", "it")
    return [result.text for result in results if isinstance(result, pb.Translation)]


def test_the_cat_is_on_the_table(translate: Translate) -> None:
    ended = translate("The cat is on the table.")
    assert (ended.returncode, ended.stdout.decode(), ended.stderr) == (0, "Il gatto è sul tavolo.\n", b"")


def test_arguments_are_translated_one_a_line(server: RunningServer, translate: Translate) -> None:
    texts = ["Good morning.", "See you tomorrow."]
    ended = translate(*texts)
    assert ended.returncode == 0
    assert ended.stdout.decode().splitlines() == expected(server, texts)


def test_lines_of_standard_input_come_back_in_order_and_empty_ones_empty(
    server: RunningServer, translate: Translate, pairs: list[tuple[str, str]]
) -> None:
    lines = [english for english, _ in pairs[:80]]
    lines[7] = lines[40] = ""
    ended = translate(stdin="\n".join(lines).encode() + b"\n")
    assert (ended.returncode, ended.stderr) == (0, b"")
    found = ended.stdout.decode().split("\n")
    assert found.pop() == ""
    assert found == expected(server, lines)
    assert found[7] == found[40] == ""


def test_a_line_that_is_too_long_is_named_and_the_others_are_translated(
    server: RunningServer, translate: Translate
) -> None:
    lines = ["Good morning.", "cat " * 300, "See you tomorrow."]
    ended = translate(stdin="\n".join(lines).encode())
    assert ended.returncode == 1
    first, second = expected(server, [lines[0], lines[2]])
    assert ended.stdout.decode().splitlines() == [first, "", second]
    (error,) = ended.stderr.decode().splitlines()
    assert "text 2" in error
    assert "302 tokens" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "de"], ["NOT_FOUND", "en-de", "en-it"]),
        (["--model", "nobody"], ["NOT_FOUND", "nobody", "en-it"]),
        (["--beam-size", "0"], ["INVALID_ARGUMENT", "beam_size"]),
        (["--server", "127.0.0.1:1"], ["UNAVAILABLE"]),
    ],
    ids=["pair", "model", "option", "no server"],
)
def test_a_call_that_fails_says_why(translate: Translate, arguments: list[str], words: list[str]) -> None:
    ended = translate(*arguments, "Good morning.")
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert ended.stderr.decode().count("\n") == 1
    assert all(word in ended.stderr.decode() for word in ("traghetto-translate: ", *words))


def test_input_that_is_no_utf8_ends_the_command(server: RunningServer, translate: Translate) -> None:
    ended = translate(stdin=b"Good morning.\n\xff\xfe\n")
    assert ended.returncode == 2
    assert b"UTF-8" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_options_reach_the_server(server: RunningServer, translate: Translate) -> None:
    with Client(server.address) as client:
        (cut,) = client.translate(["Good morning, everyone."], "en", "it", beam_size=1, max_target_tokens=2)
    assert isinstance(cut, pb.Translation)
    ended = translate("--beam-size=1", "--max-tokens=2", "Good morning, everyone.")
    assert ended.stdout.decode() == f"{cut.text}\n"


def test_the_client_lists_models_and_names_what_went_wrong(server: RunningServer) -> None:
    with Client(server.address) as client:
        assert [model.name for model in client.models()] == ["en-it"]
        with pytest.raises(CallError, match="NOT_FOUND: no model 'x'"):
            client.translate(["Good morning."], "en", "it", model="x")
