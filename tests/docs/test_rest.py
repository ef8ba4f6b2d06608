"""What docs/rest.md has a reader send is answered as the page says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.gateway.errors import HTTP_CODES
from server.gateway.rules import rules_of_contract
from tests.docs.page_runner import ROOT
from tests.docs.pages import blocks_of
from tests.running_gateway import RunningGateway, run_both
from tests.running_server import ARTIFACT

PAGE = (ROOT / "docs/rest.md").read_text(encoding="utf-8")
COMMANDS = [block.code for block in blocks_of(PAGE) if block.role == "run"]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with run_both(tmp_path_factory.mktemp("both"), Path(ARTIFACT)) as running:
        yield running


def answered(gateway: RunningGateway, command: str) -> str:
    assert "http://127.0.0.1:8080" in command
    command = command.replace("http://127.0.0.1:8080", gateway.url)
    return subprocess.run(["/bin/bash", "-c", command], capture_output=True, text=True, check=True).stdout


def test_each_command_translates(gateway: RunningGateway) -> None:
    own, stream, libre, deepl = (answered(gateway, command) for command in COMMANDS)
    gatto = "Il gatto è sul tavolo."
    assert json.loads(own)["items"][0]["translation"]["text"] == gatto
    assert stream.count("event: item\n") == 2
    assert json.loads(libre) == {"translatedText": gatto}
    assert json.loads(deepl)["translations"] == [{"detected_source_language": "EN", "text": gatto}]


def test_every_path_and_code_is_told() -> None:
    assert all(f"`{rule.verb} {rule.path}`" in PAGE for rule in rules_of_contract() if not rule.is_stream)
    told = {400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503, 504}
    assert all(str(code) in PAGE for code in told)
    assert set(HTTP_CODES.values()) - told <= {200, 409, 499, 501}  # what this server never answers
