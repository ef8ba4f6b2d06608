"""A run over files: their blocks that are not done yet, through actors of Ray Data with an engine each."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
import ray.data
from ray.exceptions import RayError
from tqdm import tqdm

from server.bulk.blocks import Block, BulkError, Format, Outcome, Rows
from server.bulk.engine import BulkEngine
from server.bulk.output import MANIFEST, OutputFolder

_APPLICATION = Path(__file__).resolve().parents[2]
_OBJECT_STORE_BYTES = 128 << 20  # what goes through it are places of blocks


@dataclass(frozen=True, kw_only=True)
class BulkRun:
    """What is to be done.

    Args:
        inputs, output: Local paths, absolute, or addresses of fsspec.
        config: Languages and options, as serialized `TranslateRequest`.
        options: The same and whatever else the output depends on, by name, for the manifest.
        num_actors: That translate side by side.
        ray_address: Of a cluster; "local" for one of this process alone.
    """

    inputs: Sequence[str]
    output: str
    artifact: Path
    rows: Format
    config: bytes
    options: dict[str, object]
    device: str
    num_actors: int
    block_rows: int
    ray_address: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """How many rows there are, and how many of them have an error."""

    num_rows: int
    num_errors: int


class BlockTranslator:
    """Translates blocks and writes their files; of an actor's process."""

    def __init__(self, run: BulkRun) -> None:
        self._run, self._output = run, OutputFolder(run.output)
        self._engine = BulkEngine(run.artifact, run.config, run.device)

    def __call__(self, task: dict[str, Any]) -> dict[str, Any]:
        """Do a block, which is `input` and the fields of `Block`; gives how many rows it has."""
        number = task.pop("input")
        block = Block(**{name: int(value) for name, value in task.items()})
        rows = self._run.rows.rows(self._run.inputs[number], block)
        content = rows.written(block.first_row, self._outcomes(rows))
        self._output.write(name_of(number, block, self._run.rows), content)
        return {"rows": block.num_rows}

    def _outcomes(self, rows: Rows) -> list[Outcome]:
        translated = iter(self._engine.translate([text for text in rows.texts if isinstance(text, str)]))
        return [next(translated) if isinstance(text, str) else text for text in rows.texts]


def name_of(number: int, block: Block, rows: Format) -> str:
    """Of a block's file; in the order of names are those of all inputs."""
    return f"{number:05d}-{block.number:08d}{rows.suffix}"


def run_bulk(run: BulkRun, *, has_bar: bool) -> Result:
    """Do what is left to do, and look whether each row is there.

    Raises:
        BulkError: the run cannot begin, or a file of the output is not what was written.
        RequestError: the languages or the options are none of the model's.
        RayError: an actor failed; what is done is kept.
        OSError: a file cannot be read or written.
    """
    scans = [run.rows.scan(path, run.block_rows) for path in run.inputs]
    blocks = {
        name_of(number, block, run.rows): (number, block)
        for number, scan in enumerate(scans)
        for block in scan.blocks
    }
    with BulkEngine(run.artifact, run.config, run.device, is_loaded=False) as engine:
        engine.translate([])
        model = engine.model_sha256
    output = OutputFolder(run.output)
    inputs = [scan.sha256 for scan in scans]
    output.begin({"model": model, "inputs": inputs, "block_rows": run.block_rows, **run.options})
    done = output.names()
    tasks = [{"input": i, **asdict(block)} for name, (i, block) in blocks.items() if name not in done]
    num_rows = sum(block.num_rows for _, block in blocks.values())
    num_left = sum(task["num_rows"] for task in tasks)
    with tqdm(total=num_rows, initial=num_rows - num_left, unit="row", disable=not has_bar) as bar:
        for rows in _translated(run, tasks):
            bar.update(rows)
    output.clear()
    return _checked(run, output, {name: block for name, (_, block) in blocks.items()})


def _translated(run: BulkRun, tasks: Sequence[dict[str, Any]]) -> Iterator[int]:
    """Do the blocks, in any order; gives how many rows each has."""
    if not tasks:
        return
    _start_ray(run)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        translated = ray.data.from_items(list(tasks), override_num_blocks=len(tasks)).map(
            BlockTranslator,
            fn_constructor_args=(run,),
            compute=ray.data.ActorPoolStrategy(size=min(run.num_actors, len(tasks))),
            num_cpus=1,
            num_gpus=1 if run.device == "cuda" else 0,
        )
        for row in translated.iter_rows():
            yield row["rows"]
    finally:
        ray.shutdown()


def _start_ray(run: BulkRun) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    # What an actor failed of comes back as an error, and is told once.
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if run.ray_address != "local":
        ray.init(address=run.ray_address, log_to_driver=False, logging_level="critical")
        return
    # Its processes find this application's packages first, whatever else has their names.
    paths = (str(_APPLICATION), os.environ.get("PYTHONPATH"))
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    ray.init(
        address="local",
        num_cpus=run.num_actors,
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level="critical",
    )


def _checked(run: BulkRun, output: OutputFolder, blocks: dict[str, Block]) -> Result:
    if strange := output.names() - blocks.keys() - {MANIFEST}:
        raise BulkError(f"{run.output} has files that are of no block: {', '.join(sorted(strange)[:5])}")
    num_rows = num_errors = 0
    for name, block in blocks.items():
        rows, errors = run.rows.count(output.read(name))
        if rows != block.num_rows:
            fault = f"{run.output}/{name} has {rows} rows, must have {block.num_rows}"
            raise BulkError(f"{fault}: remove it and start again")
        num_rows, num_errors = num_rows + rows, num_errors + errors
    return Result(num_rows=num_rows, num_errors=num_errors)


__all__ = ["BulkRun", "RayError", "Result", "run_bulk"]
