"""Flags of traghetto-translate: what they ask of the server, and which do not go together."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from server.commands.translate_arguments import make_options, make_tls, parse_arguments
from traghetto import Tls
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.requests import RequestTemplate

PAIR = ("--source", "en", "--target", "it")


def make_request(parsed: argparse.Namespace, text: str) -> pb.TranslateRequest:
    """The call that the client makes of the options."""
    return RequestTemplate(parsed.source, parsed.target, **make_options(parsed)).with_texts([text])


def options_of(*arguments: str) -> pb.TranslateOptions:
    """The options of the call for one text, over the wire and back."""
    request = make_request(parse_arguments([*PAIR, *arguments, "Yes."]), "Yes.")
    return pb.TranslateRequest.FromString(request.SerializeToString()).options


def test_without_flags_the_server_chooses() -> None:
    parsed = parse_arguments([*PAIR, "Yes."])
    assert make_request(parsed, "Yes.") == pb.TranslateRequest(
        source_language="en", target_language="it", texts=["Yes."], options=pb.TranslateOptions()
    )
    assert options_of().WhichOneof("method") is None
    assert not options_of().HasField("attention")


def test_flags_of_the_call_reach_it() -> None:
    parsed = parse_arguments([*PAIR, "--model=m", "--beam-size=2", "--max-tokens=9"])
    assert make_request(parsed, "Yes.") == pb.TranslateRequest(
        source_language="en",
        target_language="it",
        texts=["Yes."],
        model="m",
        options=pb.TranslateOptions(beam_size=2, max_target_tokens=9),
    )


def test_languages_are_needed_but_to_list_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_arguments(["--pairs"]).pairs
    assert parse_arguments(["--pairs", "--source=en"]).source == "en"
    for arguments, words in (
        (["Yes."], "required: --source, --target"),
        (["--source=en", "Yes."], "required: --target"),
        (["--pairs", "Yes."], "--pairs goes with no text"),
    ):
        with pytest.raises(SystemExit):
            parse_arguments(arguments)
        assert words in capsys.readouterr().err


def test_texts_are_cut_as_asked_for() -> None:
    assert options_of("--segmentation=lines").segmentation == pb.SEGMENTATION_LINES


def test_texts_are_written_in_what_is_asked_for() -> None:
    parsed = parse_arguments([*PAIR, "--format=html"])
    assert make_request(parsed, "Yes.").format == pb.TEXT_FORMAT_HTML


def test_constraints_reach_the_call() -> None:
    flags = ("--suppress=a b", "--suppress=c", "--no-repeat-ngram=3", "--repetition-penalty=1.5")
    assert options_of(*flags, "--min-tokens=4") == pb.TranslateOptions(
        suppress=["a b", "c"], no_repeat_ngram_size=3, repetition_penalty=1.5, min_target_tokens=4
    )
    request = make_request(parse_arguments([*PAIR, "--target-prefix=Il"]), "Yes.")
    assert list(request.target_prefixes) == ["Il"]


def test_glossaries_reach_the_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "terms.tsv"
    file.write_text("cat\tmicio\nUS\t\tcase\n")
    request = make_request(parse_arguments([*PAIR, f"--glossary={file}", "--glossary-name=legal"]), "Yes.")
    assert list(request.glossary) == [
        pb.GlossaryTerm(source="cat", target="micio"),
        pb.GlossaryTerm(source="US", match_case=True),
    ]
    assert list(request.glossary_names) == ["legal"]
    file.write_text("cat\n\ta\n")
    with pytest.raises(SystemExit):
        parse_arguments([*PAIR, f"--glossary={file}"])
    assert "line 2: the source is empty" in capsys.readouterr().err


def test_sampling_has_the_flags_given_and_no_others() -> None:
    bare = options_of("--sample")
    assert bare.WhichOneof("method") == "sampling"
    assert bare.sampling.ListFields() == []
    full = options_of("--sample", "--temperature=0.5", "--top-k=0", "--top-p=0.25", f"--seed={2**64 - 1}")
    expected = pb.Sampling(temperature=0.5, top_k=0, top_p=0.25, seed=2**64 - 1)
    assert full == pb.TranslateOptions(sampling=expected)
    assert options_of("--sample", "--seed", "0").sampling.HasField("seed")


def test_contrastive_search_has_its_candidates_and_its_penalty() -> None:
    assert options_of("--contrastive", "5") == pb.TranslateOptions(
        contrastive_search=pb.ContrastiveSearch(top_k=5)
    )
    full = options_of("--contrastive=0", "--penalty-alpha=0").contrastive_search
    assert full == pb.ContrastiveSearch(top_k=0, penalty_alpha=0)


def test_attention_goes_with_any_method() -> None:
    bare = options_of("--attention", "a.svg")
    assert bare.HasField("attention")
    assert bare.attention == pb.AttentionOptions()
    full = options_of("--sample", "--attention=a.PNG", "--layer=0", "--heads=3,0")
    assert full == pb.TranslateOptions(
        sampling=pb.Sampling(), attention=pb.AttentionOptions(layer=0, heads=[3, 0])
    )
    assert parse_arguments([*PAIR, "--attention=x/a.PNG"]).attention == Path("x/a.PNG")


@pytest.mark.parametrize(
    ("arguments", "tls"),
    [
        ([], None),
        (["--tls"], Tls()),
        (["--tls-ca=ca.pem"], Tls(ca="ca.pem")),
        (["--tls-certificate=c.pem", "--tls-key=k.pem"], Tls(certificate="c.pem", key="k.pem")),
        (
            ["--tls", "--tls-ca=ca.pem", "--tls-certificate=c.pem", "--tls-key=k.pem"],
            Tls(ca="ca.pem", certificate="c.pem", key="k.pem"),
        ),
    ],
    ids=["plain text", "the system's authorities", "authorities", "a certificate", "all"],
)
def test_each_flag_of_tls_asks_for_it(arguments: list[str], tls: Tls | None) -> None:
    assert make_tls(parse_arguments([*PAIR, *arguments, "Yes."])) == tls


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sample", "--contrastive=4"], ["--sample", "--contrastive"]),
        (["--beam-size=4", "--sample"], ["--beam-size", "--sample"]),
        (["--contrastive=4", "--beam-size=4"], ["--beam-size", "--contrastive"]),
        (["--temperature=1"], ["--temperature needs --sample"]),
        (["--contrastive=4", "--top-k=4"], ["--top-k needs --sample"]),
        (["--top-p=1"], ["--top-p needs --sample"]),
        (["--seed=0"], ["--seed needs --sample"]),
        (["--sample", "--penalty-alpha=0"], ["--penalty-alpha needs --contrastive"]),
        (["--tls-certificate=c.pem"], ["--tls-certificate needs --tls-key"]),
        (["--tls-ca=ca.pem", "--tls-key=k.pem"], ["--tls-key needs --tls-certificate"]),
        (["--layer=0"], ["--layer needs --attention"]),
        (["--heads=0"], ["--heads needs --attention"]),
        (["--attention=a.jpg"], ["--attention", "a.jpg", ".png or .svg"]),
        (["--attention=png"], ["--attention", ".png or .svg"]),
        (["--attention=a.png", "No."], ["--attention draws one text, not 2"]),
        (["--attention=a.png", "--heads=0,x"], ["--heads", "'x'"]),
        (["--attention=a.png", "--heads="], ["--heads", "''"]),
        (["--sample", "--seed=-1"], ["--seed", "-1", str(2**64 - 1)]),
        (["--sample", f"--seed={2**64}"], ["--seed", str(2**64), str(2**64 - 1)]),
        (["--beam-size=2147483648"], ["--beam-size", "2147483648", "2147483647"]),
        (["--max-tokens=many"], ["--max-tokens", "'many'"]),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_ends_the_command_and_names_the_flags(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments([*PAIR, *arguments, "Yes."])
    assert caught.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert all(word in last for word in words)
