"""A token is shown once, and its hash lets it in."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from server.access.access import Access
from server.commands import token


def test_the_line_for_the_file_lets_the_token_in_and_does_not_tell_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["traghetto-token"])
    made = []
    for _ in range(2):
        assert token.main() == 0
        made.append(capsys.readouterr())
    assert made[0].out != made[1].out
    secret = made[0].out.strip()
    assert secret not in made[0].err
    assert list(tomllib.loads(made[0].err)) == ["tokens"]
    path = tmp_path / "access.toml"
    path.write_text(f"[tenants.shop]\n{made[0].err}")
    assert Access(path).tenant_of([f"Bearer {secret}"], ()).name == "shop"
