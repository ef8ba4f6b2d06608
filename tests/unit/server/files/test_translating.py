"""A file's texts and a server that has no room for them."""

from __future__ import annotations

from pathlib import Path

from server.files.translating import FileTranslation
from tests.unit.traghetto.misbehaving import Service, busy, echo, serving
from traghetto import Client, ServerBusy, Translation

TEXTS = [f"Line {number}." for number in range(40)]


def job_of(folder: Path) -> FileTranslation:
    source = folder / "book.txt"
    source.write_text("\n\n".join(TEXTS), encoding="utf-8")
    return FileTranslation(source, folder / "book.it.txt", ("en", "it"), {})


def test_a_busy_server_is_waited_for_beyond_the_deadline_of_a_call(tmp_path: Path) -> None:
    service = Service(*[busy(0.2)] * 20, echo)  # past its deadline a client does not even wait
    told: list[ServerBusy] = []
    with serving(service) as address, Client(address, timeout_seconds=0.15) as client:
        done = list(job_of(tmp_path).run(client, told.append))
    assert all(isinstance(one.result, Translation) for one in done)
    assert [one.number for one in done] == list(range(len(TEXTS)))
    assert told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["book.it.txt", "book.txt"]
