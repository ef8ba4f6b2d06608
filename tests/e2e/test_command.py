"""The command traghetto-translate, against the real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.running_server import RunningServer
from traghetto import AttentionOptions, CallError, Client, ContrastiveSearch, Sampling, Translation

PATIENCE_SECONDS = 120.0
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
SVG_TEXT = "{http://www.w3.org/2000/svg}text"
TEXT = "The cat is on the table."
Translate = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def translate(server: RunningServer) -> Translate:
    """Run the command on the running server."""

    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        options = ("--server", server.address, "--source", "en", "--target", "it")
        return subprocess.run(
            [sys.executable, "-m", "server.commands.translate", *options, *arguments],
            input=stdin,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    return run


def expected(server: RunningServer, texts: list[str], **options: Any) -> list[str]:
    with Client(server.address) as client:
        results = client.translate(texts, "en", "it", **options)
    return [result.text for result in results if isinstance(result, Translation)]


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
    assert ended.returncode == 0
    assert all(b": warning: number: " in line for line in ended.stderr.splitlines())
    found = ended.stdout.decode().split("\n")
    assert found.pop() == ""
    assert found == expected(server, lines)
    assert found[7] == found[40] == ""


def test_a_line_that_is_too_long_is_named_and_the_others_are_translated(
    server: RunningServer, translate: Translate
) -> None:
    lines = ["Good morning.", "cat " * 300, "See you tomorrow."]
    ended = translate("--segmentation=none", stdin="\n".join(lines).encode())
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


def test_lines_that_cannot_be_sent_cost_those_lines_alone(
    server: RunningServer, translate: Translate
) -> None:
    ended = translate(stdin=b"Good morning.\n\xff\xfe\n" + b"a" * 4_200_000 + b"\nSee you tomorrow.\n")
    first, last = expected(server, ["Good morning.", "See you tomorrow."])
    assert (ended.returncode, ended.stdout.decode().splitlines()) == (1, [first, "", "", last])
    no_utf8, too_large = ended.stderr.decode().splitlines()
    assert no_utf8.startswith("traghetto-translate: text 2: the line is no UTF-8")
    assert too_large.startswith("traghetto-translate: text 3: RESOURCE_EXHAUSTED")


def test_options_reach_the_server(server: RunningServer, translate: Translate) -> None:
    with Client(server.address) as client:
        (cut,) = client.translate(["Good morning, everyone."], "en", "it", beam_size=1, max_target_tokens=2)
    assert isinstance(cut, Translation)
    ended = translate("--beam-size=1", "--max-tokens=2", "Good morning, everyone.")
    assert ended.stdout.decode() == f"{cut.text}\n"


@pytest.mark.parametrize(
    ("arguments", "method"),
    [
        (["--sample", "--seed=7"], Sampling(seed=7)),
        (
            ["--sample", "--temperature=0.8", "--top-k=20", "--top-p=0.9", "--seed=7"],
            Sampling(temperature=0.8, top_k=20, top_p=0.9, seed=7),
        ),
        (["--contrastive=5"], ContrastiveSearch(top_k=5)),
        (["--contrastive=5", "--penalty-alpha=0.3"], ContrastiveSearch(top_k=5, penalty_alpha=0.3)),
    ],
    ids=["sampling", "sampling with all flags", "contrastive search", "contrastive search with its penalty"],
)
def test_every_method_has_its_flags(
    server: RunningServer, translate: Translate, arguments: list[str], method: Sampling | ContrastiveSearch
) -> None:
    lines = ["Good morning, everyone.", "", "We should leave before it starts to rain."]
    ended = translate(*arguments, stdin="\n".join(lines).encode())
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.decode().splitlines() == expected(server, lines, method=method)


def test_flags_that_do_not_go_together_are_named(translate: Translate) -> None:
    ended = translate("--sample", "--contrastive=4", "Good morning.")
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert all(flag in ended.stderr for flag in (b"--sample", b"--contrastive"))


def labels(svg: Path) -> list[str]:
    return [element.text or "" for element in ET.parse(svg).iter(SVG_TEXT)]  # noqa: S314 - our own


def test_attention_is_drawn_beside_the_translation(translate: Translate, tmp_path: Path) -> None:
    png, svg = tmp_path / "a.png", tmp_path / "a.svg"
    for path, arguments, stdin in ((png, [TEXT], b""), (svg, [], TEXT.encode() + b"\n")):
        ended = translate("--attention", str(path), *arguments, stdin=stdin)
        assert (ended.returncode, ended.stdout.decode()) == (0, "Il gatto è sul tavolo.\n"), ended.stderr
    assert png.read_bytes().startswith(PNG_MAGIC)
    found = labels(svg)
    assert found[: found.index("source")][:3] == ["<2it>", "The", "cat"]
    assert {"Il", "gatto", "</s>", "en-it", "attention of decoder layer 1"} <= set(found)


def test_attention_of_a_layer_and_of_heads_with_another_method(translate: Translate, tmp_path: Path) -> None:
    svg = tmp_path / "a.svg"
    flags = ("--attention", str(svg), "--layer=0", "--heads=2,1", "--sample", "--top-k=1")
    ended = translate(*flags, "It costs $5, or 5 $ & <2it> 🛶.")
    assert ended.returncode == 0, ended.stderr
    assert {"attention of decoder layer 0", "mean of heads 1, 2"} <= set(labels(svg))
    assert "<0xF0>" in labels(svg)  # a boat is no piece of the vocabulary, its bytes are


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "words"),
    [
        (["One.", "Two."], b"", 2, ["--attention", "one text", "2"]),
        ([], b"One.\nTwo.\n", 2, ["--attention", "one text", "more"]),
        (["--layer=9", "One."], b"", 1, ["INVALID_ARGUMENT", "attention.layer", "9"]),
        (["cat " * 300], b"", 1, ["text 1", "302 tokens"]),
        ([" "], b"", 1, ["no attention", "empty"]),
    ],
    ids=["two arguments", "two lines", "no such layer", "too long", "empty"],
)
def test_attention_that_cannot_be_drawn_says_why(
    translate: Translate, tmp_path: Path, arguments: list[str], stdin: bytes, status: int, words: list[str]
) -> None:
    ended = translate("--attention", str(tmp_path / "a.png"), *arguments, stdin=stdin)
    assert (ended.returncode, ended.stdout.strip()) == (status, b"")
    assert all(word in ended.stderr.decode().splitlines()[-1] for word in words)
    assert not list(tmp_path.iterdir())


def test_a_picture_that_cannot_be_written_costs_no_translation(translate: Translate, tmp_path: Path) -> None:
    ended = translate("--attention", str(tmp_path / "nowhere" / "a.svg"), TEXT)
    assert (ended.returncode, ended.stdout.decode()) == (1, "Il gatto è sul tavolo.\n")
    assert ended.stderr.decode().splitlines()[-1].startswith("traghetto-translate: cannot write ")


def test_the_client_gives_attention(server: RunningServer) -> None:
    with Client(server.address) as client:
        (found,) = client.translate([TEXT], "en", "it", attention=AttentionOptions(heads=[0]))
        assert isinstance(found, Translation)
        assert found.hypotheses[0].attention is not None
        assert found.hypotheses[0].attention.heads == (0,)
        with pytest.raises(CallError, match="beam_size: is 4, must be absent with sampling"):
            client.translate([TEXT], "en", "it", beam_size=4, method=Sampling())


def test_the_client_skips_scores(server: RunningServer) -> None:
    with Client(server.address) as client:
        scored, bare = (
            client.translate([TEXT], "en", "it", beam_size=1, skip_scores=skip)[0] for skip in (False, True)
        )
    assert isinstance(scored, Translation)
    assert isinstance(bare, Translation)
    assert scored.text == bare.text
    assert scored.hypotheses[0].score is not None
    assert bare.hypotheses[0].score is None


def test_the_client_lists_models_and_names_what_went_wrong(server: RunningServer) -> None:
    with Client(server.address) as client:
        assert [model.name for model in client.models()] == ["en-it"]
        with pytest.raises(CallError, match="NOT_FOUND: no model 'x'"):
            client.translate(["Good morning."], "en", "it", model="x")


def shell(server: RunningServer, line: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which $T is the command."""
    program = f"{sys.executable} -m server.commands.translate"
    command = f"{program} --server {server.address} --source en --target it"
    return subprocess.run(
        ["/bin/bash", "-c", f"set -o pipefail; T='{command}'; {line}"],
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("yes Hello. | head -500 | $T --beam-size 1 | head -1", 141, None),
        ("$T <&-", 2, b"standard input is closed"),
        ("$T $'caf\\xe9'", 2, b"surrogate"),
        ("$T Yes. > /dev/full", 1, b"cannot write to standard output: No space left on device"),
        ("$T Yes. >&-", 2, b"standard output is closed"),
        ("$T --timeout inf Yes.", 2, b"inf"),
        ("$T --timeout 0 Yes.", 2, b"0"),
    ],
)
def test_it_ends_with_a_line_and_a_status_and_never_with_a_traceback(
    server: RunningServer, line: str, status: int, message: bytes | None
) -> None:
    ended = shell(server, line)
    assert b"Traceback" not in ended.stderr
    assert ended.returncode == status, ended.stderr
    if message is None:
        assert ended.stderr == b""
    else:
        assert message in ended.stderr.splitlines()[-1]


def test_an_input_that_cannot_be_read_is_told(server: RunningServer, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "server.commands.translate", "--server", server.address),
            *("--source", "en", "--target", "it"),
        ],
        stdin=descriptor,
        capture_output=True,
        check=False,
    )
    os.close(descriptor)
    message = b"traghetto-translate: cannot read standard input: Bad file descriptor\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, b"", message)


def test_an_interrupt_ends_it_with_a_status_alone(server: RunningServer) -> None:
    arguments = ("--server", server.address, "--source", "en", "--target", "it")
    with subprocess.Popen(
        [sys.executable, "-m", "server.commands.translate", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(f"{TEXT}\n".encode())
        running.stdin.flush()
        assert running.stdout.readline() == "Il gatto è sul tavolo.\n".encode()
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=PATIENCE_SECONDS)
    assert (running.returncode, errors) == (130, b"")
