"""README.md's first screen works as it stands there, and stays a first screen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.docs.page_runner import ROOT
from tests.docs.pages import blocks_of
from tests.running_gateway import run_gateway
from tests.running_server import ARTIFACT, run_server

README = (ROOT / "README.md").read_text(encoding="utf-8")
DEFAULT_ADDRESS = "127.0.0.1:50051"
FIRST_SCREEN_LINES = 53


def run(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_its_command_and_its_program_translate(tmp_path: Path) -> None:
    serve, translate, curl, program = blocks_of(README)[:4]
    assert serve.code == "make serve\n"
    command = translate.code.replace(
        ".venv/bin/traghetto-translate", f"{sys.executable} -m server.commands.translate"
    )
    with run_server(tmp_path / "log", ARTIFACT) as running:
        printed = run(["bash", "-c", f"{command.rstrip()} --server {running.address}"])
        assert printed == "Il gatto è sul tavolo.\n"
        assert f"`{printed.rstrip()}`" in README
        assert DEFAULT_ADDRESS in program.code
        code = program.code.replace(DEFAULT_ADDRESS, running.address)
        assert len(run([sys.executable, "-c", code]).splitlines()) == 2
        with run_gateway(tmp_path / "gateway.log", running) as gateway:
            assert "http://127.0.0.1:8080" in curl.code
            answer = run(["bash", "-c", curl.code.replace("http://127.0.0.1:8080", gateway.url)])
            assert json.loads(answer) == {"translatedText": printed.rstrip()}


def test_the_first_screen_has_the_picture_the_commands_and_the_program() -> None:
    screen = "\n".join(README.splitlines()[:FIRST_SCREEN_LINES])
    assert "docs/attention.png" in screen
    assert len([block for block in blocks_of(screen) if block.role == "run"]) == 4
    bullets = [line for line in screen.splitlines() if line.startswith("- ")]
    assert 0 < len(bullets) <= 6
    assert all(len(bullet.removeprefix("- ").split()) <= 12 for bullet in bullets)
