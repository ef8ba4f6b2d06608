"""Glossaries through the whole server: in the call and by name, read again, and what is told of terms."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from tests.running_server import RECURRENT, RunningServer, StartServer
from traghetto import Client, GlossaryTerm, InvalidArgument, Translation, UsedTerm
from traghetto.pb.admin.v1 import admin_pb2, admin_pb2_grpc

TEXT = "The cat is on the table."
Refused = Callable[..., subprocess.CompletedProcess[str]]


def translate(client: Client, *texts: str, **how: object) -> list[Translation]:
    found = client.translate(texts, "en", "it", **how)  # type: ignore[arg-type]
    assert all(isinstance(item, Translation) for item in found), found
    return [item for item in found if isinstance(item, Translation)]


def test_a_term_stands_in_place_of_the_models_own_word_and_nothing_else_changes(
    server: RunningServer,
) -> None:
    with Client(server.address) as client:
        plain, given, html = (
            translate(client, TEXT)[0],
            translate(client, TEXT, glossary={"cat": "micio", "dog": "cane"})[0],
            translate(client, f"<p>The <b>cat</b> {TEXT[8:]}", glossary={"cat": "micio"}, format="html")[0],
        )
    assert plain.text == "Il gatto è sul tavolo."
    assert given.text == "Il micio è sul tavolo."
    assert html.text == "<p>Il <b>micio</b> è sul tavolo."
    assert given.glossary_terms == (UsedTerm(source="cat", target="micio", met=True),)
    assert given.warnings == ()
    assert given.hypotheses[0].log_prob == plain.hypotheses[0].log_prob
    assert (plain.glossary_terms, given.hypotheses[0].attention) == ((), None)


def test_where_case_counts_other_cases_are_no_terms(server: RunningServer) -> None:
    with Client(server.address) as client:
        (found,) = translate(client, TEXT, glossary=[GlossaryTerm(source="Cat", target="x", match_case=True)])
    assert found.text == "Il gatto è sul tavolo."


def reload_glossary(server: RunningServer) -> admin_pb2.ModelReload:
    with grpc.insecure_channel(server.admin) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        return stub.ReloadModels(admin_pb2.ReloadModelsRequest(), timeout=120).models[-1]


def test_a_glossary_of_the_server_is_named_listed_and_read_again(
    start_server: StartServer, tmp_path: Path
) -> None:
    file = tmp_path / "pets.tsv"
    file.write_text("cat\tmicio\n")
    with start_server(RECURRENT, "--glossary", f"pets={file}") as running, Client(running.address) as client:
        assert client.glossaries() == {"pets": 1}
        (plain,), (named,) = translate(client, "cat"), translate(client, "cat", glossary_names=["pets"])
        assert plain.glossary_terms == ()
        assert named.glossary_terms == (UsedTerm(source="cat", target="micio", met=True),)
        with pytest.raises(InvalidArgument, match=r"glossary_names\[0\]: is 'cars', .* server's: 'pets'"):
            translate(client, TEXT, glossary_names=["cars"])
        file.write_text("cat\tfelino\ndog\tcane\n")
        assert reload_glossary(running).outcome == admin_pb2.RELOAD_OUTCOME_LOADED
        assert client.glossaries() == {"pets": 2}
        assert translate(client, "cat", glossary_names=["pets"])[0].glossary_terms[0].target == "felino"
        file.write_text("cat\tfelino\n\tcane\n")
        with pytest.raises(grpc.RpcError, match=f"glossary {file}: line 2: the source is empty"):
            reload_glossary(running)
        assert client.glossaries() == {"pets": 2}


def test_a_faulty_glossary_is_refused_at_the_start(serve_in_vain: Refused, tmp_path: Path) -> None:
    file = tmp_path / "pets.tsv"
    file.write_text("cat\tmicio\tCase\n")
    done = serve_in_vain(RECURRENT, "--glossary", f"pets={file}")
    assert done.returncode == 2
    assert f"glossary {file}: line 1 is 'cat" in done.stderr
