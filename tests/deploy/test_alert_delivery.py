"""Two alerts on their whole way: a real server, Prometheus, Alertmanager, a webhook."""

from __future__ import annotations

import time
from pathlib import Path

import grpc
import pytest

from tests.deploy.fast_time import alertmanager_config, fast_rules, prometheus_config, shortened
from tests.deploy.live_servers import stub_of, target_of
from tests.deploy.monitoring import (
    PATIENCE_SECONDS,
    Prometheus,
    Receiver,
    run_alertmanager,
    run_prometheus,
    run_receiver,
    wait_until,
)
from tests.deploy.rule_files import RULE_FILES
from tests.running_server import ARTIFACT, long_request, make_request, run_server
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.pb.translation.v1 import translation_pb2_grpc as pb_grpc

LIMIT = 20


def test_fast_time_changes_durations_alone() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in RULE_FILES)
    fast = shortened(text)
    assert "[5000ms]" in fast
    assert "for: 3000ms" in fast
    changed = [(a, b) for a, b in zip(text.splitlines(), fast.splitlines(), strict=True) if a != b]
    assert all("[" in before or "for: " in before for before, _ in changed)
    assert "m]" not in fast.replace("ms]", "")


def test_alerts_arrive_and_client_faults_do_not(tmp_path: Path) -> None:
    with (
        run_receiver() as receiver,
        run_alertmanager(tmp_path, alertmanager_config(receiver.address)) as alertmanager,
        run_server(
            tmp_path / "server.log", ARTIFACT, "--slots=1", f"--max-queue={LIMIT}", "--drain-seconds=0"
        ) as server,
        run_prometheus(
            tmp_path, prometheus_config([target_of(server)], fast_rules(tmp_path), alertmanager)
        ) as prometheus,
    ):
        prometheus.wait_until('up{job="traghetto"} == 1')
        with stub_of(server) as stub:
            burn_no_budget(stub, prometheus)
            assert receiver.alerts == []
            fill_the_queue(stub, receiver)
        (path, alert), *_ = receiver.firing("QueueSaturated")
        assert path == "/ticket"
        assert alert["labels"]["model"] == "en-it"
        assert alert["labels"]["instance"] == target_of(server)
        assert receiver.firing("Absent") == []
        assert server.terminate() == 0
        wait_until(lambda: bool(receiver.firing("Absent")), "Absent at the receiver")
        (path, alert), *_ = receiver.firing("Absent")
        assert path == "/page"
        assert alert["labels"] == {"alertname": "Absent", "job": "traghetto", "severity": "page"}
        assert alert["annotations"]["description"].endswith("no target of job traghetto.")


def burn_no_budget(stub: pb_grpc.TranslationServiceStub, prometheus: Prometheus) -> None:
    """Clients at fault, for longer than the alerts' windows: calls are counted, failures are not."""
    until = time.monotonic() + PATIENCE_SECONDS
    seen = 0
    while seen < 30:  # more than the window's five seconds
        assert time.monotonic() < until
        for faulty, code in (
            (make_request(), grpc.StatusCode.INVALID_ARGUMENT),
            (make_request("Yes.", pair="en-de"), grpc.StatusCode.NOT_FOUND),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Translate(faulty, timeout=PATIENCE_SECONDS)
            assert caught.value.code() is code
        given_up = stub.Translate.future(make_request("A text that nobody waits for."))
        given_up.cancel()
        time.sleep(0.25)
        calls = prometheus.value('job:translation_calls:rate5m{job="traghetto"}')
        if calls:
            seen += 1
            assert prometheus.value('job:translation_failures:rate5m{job="traghetto"}') == 0


def fill_the_queue(stub: pb_grpc.TranslationServiceStub, receiver: Receiver) -> None:
    """Keep it full until the alert has arrived."""
    until = time.monotonic() + PATIENCE_SECONDS
    waiting: list[grpc.Future[pb.TranslateResponse]] = []
    while not receiver.firing("QueueSaturated"):
        assert time.monotonic() < until, receiver.alerts
        waiting = [call for call in waiting if not call.done()]
        waiting += [stub.Translate.future(long_request()) for _ in range(LIMIT + 2 - len(waiting))]
        time.sleep(0.1)
    for call in waiting:
        call.cancel()
