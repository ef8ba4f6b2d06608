"""The command traghetto-train."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

import torch

from model.checkpoint import CheckpointError, load_checkpoint, unique_weights
from model.networks.config import ConfigError
from model.preparation.prepare import is_prepared
from model.shortlist.learning import add_shortlist
from model.text.parallel_text import DataError
from model.text.tokenizer import TokenizerError
from model.training.config import load_run_config
from model.training.processes import Processes, join_processes, leave_processes
from model.training.trainer import BEST_FOLDER, Trainer

log = logging.getLogger("traghetto.train")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="traghetto-train", description="Train a translation model.")
    parser.add_argument("config", type=Path, help="YAML file, see model/configs/")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with the files that the configuration names"
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the run; an unfinished run in it is resumed"
    )
    parser.add_argument(
        "--max-steps", type=int, help="stop after so many steps, if the configuration does not stop before"
    )
    parser.add_argument(
        "--from",
        dest="initial",
        type=Path,
        metavar="CHECKPOINT",
        help="start from these weights and this tokenizer, also of an imported model; the configuration may "
        "then leave out its section model",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


def main() -> int:
    """Run the command; exit status 2 for a fault in its input."""
    arguments = _parser().parse_args()
    processes = join_processes(torch.device(arguments.device))
    logging.basicConfig(
        level=logging.INFO if processes.is_first else logging.ERROR, format="%(asctime)s %(message)s"
    )
    try:
        _train(arguments, processes)
    except (ConfigError, DataError, CheckpointError, TokenizerError) as error:
        print(f"traghetto-train: {error}", file=sys.stderr, flush=True)
        if processes.count > 1:
            os._exit(2)  # the others wait for this one, and to leave them would wait for them
        return 2
    leave_processes()
    return 0


def _train(arguments: argparse.Namespace, processes: Processes) -> None:
    tokenizer, weights, initial = None, None, None
    if arguments.initial:
        model, tokenizer = load_checkpoint(arguments.initial)
        weights, initial = unique_weights(model), model.config
    run = load_run_config(arguments.config, initial)
    trainer = Trainer(run, arguments.data, arguments.output, processes, tokenizer, weights)
    bleu = trainer.train(arguments.max_steps)
    if not processes.is_first:
        return
    if run.data.shortlist_candidates and is_prepared(arguments.data):
        log.warning("shards have no pairs to learn a shortlist from: traghetto-shortlist learns it")
    elif run.data.shortlist_candidates:
        add_shortlist(arguments.output / BEST_FOLDER, arguments.data, run.data)
    print(f"best dev BLEU {bleu:.2f}, checkpoint {arguments.output / BEST_FOLDER}")


if __name__ == "__main__":
    sys.exit(main())
