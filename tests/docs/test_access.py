"""The example of docs/access.md works as it stands there: a tenant of each kind, and what it may."""

from __future__ import annotations

from pathlib import Path

from tests.docs.page_runner import ROOT, PageRunner
from tests.docs.pages import blocks_of

PAGE = ROOT / "docs/access.md"
EXAMPLE = "## An example of each kind"


def test_a_reader_lets_in_a_tenant_of_each_kind_and_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "en-it-lstm").symlink_to(ROOT / "export/artifacts/en-it-lstm")
    blocks = blocks_of(PAGE.read_text(encoding="utf-8").partition(EXAMPLE)[2])
    assert len(blocks) > 5
    with PageRunner(tmp_path) as reader:
        for block in blocks:
            reader.do(block)
    log = (tmp_path / "background-0.log").read_text(encoding="utf-8")
    assert "tenant=shop" in log
    for name in ("shop.token", "alice.token"):
        secret = (tmp_path / name).read_text(encoding="utf-8").strip()
        assert secret[:24] not in log
        assert secret[-24:] not in log
