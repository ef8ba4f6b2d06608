"""What the bench writes can be read, and a part measured again replaces just that part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.load.gemm_rate import GemmRate, base_shapes, operations_per_token, token_limit
from tests.load.overhead import Overhead
from tests.load.report import Measured, gemm_table, overhead_lines, table, write
from tests.load.rounds import Figure, figure


@pytest.fixture
def row() -> Figure:
    return figure(
        ("bulk_greedy", "base", "ctranslate2-int8"), ([300.0, 330.0], [100.0, 100.0]), "target tokens/s"
    )


def test_the_work_of_a_token_is_what_the_shapes_say() -> None:
    operations = {shape.name: shape.operations / 1e6 for shape in base_shapes()}
    decoder = sum(millions for name, millions in operations.items() if name.startswith("decoder"))
    encoder = sum(millions for name, millions in operations.items() if name.startswith("encoder"))
    # A layer has 4 (encoder) or 6 (decoder, whose source keys and values are made once) of E x E, 2 of E x F.
    assert decoder == pytest.approx(2 * 6 * (6 * 0.262144 + 2 * 1.048576))
    assert encoder == pytest.approx(2 * 6 * (4 * 0.262144 + 2 * 1.048576))
    assert operations["output layer"] == pytest.approx(2 * 512 * 32_000 / 1e6)


def test_the_limit_is_where_products_take_all_the_time() -> None:
    rates = [GemmRate(shape=shape, gops=500.0) for shape in base_shapes()]
    assert token_limit(rates) == pytest.approx(500e9 / operations_per_token(rates))


def test_a_row_measured_again_replaces_the_older_one_alone(tmp_path: Path, row: Figure) -> None:
    path = tmp_path / "bench.json"
    rates = [GemmRate(shape=shape, gops=500.0) for shape in base_shapes()]
    overhead = Overhead(client_milliseconds=9.9, server_milliseconds=9.5, engine_milliseconds=9.0)
    first = Measured(rows=[row, replace(row, model="bundled")], rates=rates, overheads={"base": overhead})
    write(path, first, keep=False)
    again = Measured(rows=[replace(row, ratio_median=9.0)], overheads={"bundled": overhead})
    assert write(path, again, keep=True) == [*again.rows, replace(row, model="bundled")]
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [fields["ratio_median"] for fields in content["rows"]] == [9.0, row.ratio_median]
    assert len(content["gemm"]) == len(rates)
    assert content["machine"]["num_cores"] >= 1
    assert {m: f["added_milliseconds"] for m, f in content["single_request_overhead"].items()} == {
        "base": 0.5,
        "bundled": 0.5,
    }
    assert write(path, Measured(rows=[row]), keep=False) == [row]


def test_the_tables_name_ratios_and_shares(row: Figure) -> None:
    assert "3.15   3.00   3.30" in table([row])
    rates = [GemmRate(shape=shape, gops=500.0) for shape in base_shapes()]
    assert f"reached: ours {315 / token_limit(rates):.0%}" in gemm_table(rates, [row])


def test_the_overhead_of_each_model_is_a_line() -> None:
    overhead = Overhead(client_milliseconds=9.9, server_milliseconds=9.5, engine_milliseconds=9.0)
    assert overhead_lines({"base": overhead}).endswith(
        "9.50 ms in the server, 0.50 ms more than in the engine"
    )
