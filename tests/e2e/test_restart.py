"""A server that is killed and started again on its port, while a client goes on calling: no call is lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.running_server import PATIENCE_SECONDS, RECURRENT, free_port, run_server
from traghetto import Client, Translation

CALLERS = 8


def test_no_call_is_lost_over_a_kill_and_a_restart(tmp_path: Path) -> None:
    listen = f"--listen=127.0.0.1:{free_port()}"
    is_over, num_answers, lock = threading.Event(), [0], threading.Lock()

    def call(client: Client) -> int:
        """Translate until the end; gives how many calls there were. Any that fails raises."""
        number = 0
        while not is_over.is_set():
            (result,) = client.translate(["The cat is on the table."], "en", "it")
            assert isinstance(result, Translation)
            number += 1
            with lock:
                num_answers[0] += 1
        return number

    def wait_for_answers(number: int) -> None:
        begun = num_answers[0]
        while num_answers[0] < begun + number and not is_over.wait(0.01):
            assert not any(caller.done() for caller in callers), [caller.exception() for caller in callers]

    with ThreadPoolExecutor(CALLERS) as pool:
        try:
            with run_server(tmp_path / "first", RECURRENT, listen, expected_status=-9) as first:
                client = Client(first.address, PATIENCE_SECONDS)
                callers = [pool.submit(call, client) for _ in range(CALLERS)]
                wait_for_answers(100)
                first.process.kill()
                first.process.wait()
            with run_server(tmp_path / "second", RECURRENT, listen):
                wait_for_answers(100)
                is_over.set()
                assert sum(caller.result(PATIENCE_SECONDS) for caller in callers) == num_answers[0]
        finally:
            is_over.set()
    client.close()
