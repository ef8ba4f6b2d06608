"""From files of pairs to shards that a run trains on: filter, learn a vocabulary, augment, tokenize."""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

from model.preparation.augment import Augmenter
from model.preparation.config import PreparationConfig
from model.preparation.corpus import CleanCorpus, FileCounts, clean_corpus
from model.preparation.examples import directions, filled_templates, names_in, write_examples
from model.preparation.inventions import Inventions
from model.text.parallel_text import DataError, read_pairs
from model.text.sentencepiece_tokenizer import FILE_NAME, PLACEHOLDER_CHARACTERS, train_tokenizer
from model.text.tokenizer import Tokenizer
from model.text.tokenizers import load_tokenizer

log = logging.getLogger("traghetto.prepare")

REPORT_NAME = "prepared.json"
TEMPLATES = "templates"
_PAIRS_WITH_NAMES = 300_000  # in so many of each corpus names are looked for


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preparation:
    """Prepares a data folder for training.

    Args:
        config: What is prepared, and how.
        languages: Of the two texts of a pair; each is translated into the other.
        vocabulary_size: V of the vocabulary that is learned.
        max_tokens: Longer examples are left out, and counted.
        data: Folder with the files that the configuration names.
        output: Receives the tokenizer, a folder of shards for each corpus, the dev files, and a report.
        dev: Files of the data folder that trainings choose by; they are copied.
    """

    config: PreparationConfig
    languages: tuple[str, str]
    vocabulary_size: int
    max_tokens: int
    data: Path
    output: Path
    dev: tuple[str, ...]

    def run(self) -> None:
        """Do it all; what an earlier run left in the output is replaced, but for a tokenizer, which is used.

        Raises:
            DataError: a file cannot be read, or no pair is left of all of them.
        """
        self.output.mkdir(parents=True, exist_ok=True)
        (self.output / REPORT_NAME).unlink(missing_ok=True)  # what has one is whole
        self._copy_dev()
        with tempfile.TemporaryDirectory(dir=self.output, prefix=".clean-") as folder:
            corpora = self._clean(Path(folder))
            tokenizer = self._tokenizer(corpora)
            sizes = self._write(corpora, tokenizer)
        self._report(corpora, sizes)

    def _clean(self, folder: Path) -> dict[str, CleanCorpus]:
        corpora = {}
        for i, (name, corpus) in enumerate(self.config.corpora.items()):
            corpora[name] = clean_corpus(
                corpus,
                self.config.filters,
                self.languages,
                self.data,
                folder / f"{i}.jsonl",
                self.config.seed,
            )
            _log_counts(name, corpora[name].counts)
        if not any(corpus.num_pairs for corpus in corpora.values()):
            raise DataError("no pair is left to train on: the log says which rule took them")
        return corpora

    def _tokenizer(self, corpora: Mapping[str, CleanCorpus]) -> Tokenizer:
        """The output's tokenizer if it has one, else a vocabulary of an equal part of each corpus."""
        if (self.output / FILE_NAME).is_file():
            return load_tokenizer(self.output)
        share = max(1, self.config.vocabulary_sentences // (2 * len(corpora)))
        log.info("learning a vocabulary of %d pieces", self.vocabulary_size)
        texts = (
            text
            for corpus in corpora.values()
            for pair in itertools.islice(corpus.pairs(), share)
            for text in pair
        )
        tokenizer = train_tokenizer(texts, self.vocabulary_size, self.languages)
        tokenizer.save(self.output)
        return tokenizer

    def _write(self, corpora: Mapping[str, CleanCorpus], tokenizer: Tokenizer) -> dict[str, tuple[int, int]]:
        chance = Random(self.config.seed)
        some = (itertools.islice(corpus.pairs(), _PAIRS_WITH_NAMES) for corpus in corpora.values())
        inventions = Inventions(chance, names_in(itertools.chain.from_iterable(some)))
        sizes = {}
        for name, corpus in corpora.items():
            augmenter = Augmenter(
                chance, inventions, PLACEHOLDER_CHARACTERS, self.config.corpora[name].common_name
            )
            examples = directions(
                corpus.pairs(),
                self.languages,
                augmenter if self.config.augment else None,
                self.config.title_case if self.config.augment else 0.0,
                chance,
            )
            sizes[name] = write_examples(examples, tokenizer, self.max_tokens, self.output / name)
        if self.config.templates:
            count = int(self.config.template_share * sum(corpus.num_pairs for corpus in corpora.values()))
            pairs = filled_templates(read_pairs(self.data / self.config.templates), count, inventions, chance)
            examples = directions(pairs, self.languages, None, 0.0, chance)
            sizes[TEMPLATES] = write_examples(examples, tokenizer, self.max_tokens, self.output / TEMPLATES)
        return sizes

    def _copy_dev(self) -> None:
        for name in ",".join(self.dev).split(","):
            source, target = self.data / name, self.output / name
            if not source.is_file():
                raise DataError(f"no data file {source}")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def _report(self, corpora: Mapping[str, CleanCorpus], sizes: Mapping[str, tuple[int, int]]) -> None:
        files = {
            file: {"read": count.read, "kept": count.kept, "dropped": dict(count.dropped)}
            for corpus in corpora.values()
            for file, count in corpus.counts.items()
        }
        names = ("examples", "too_many_tokens")
        report = {
            "languages": self.languages,
            "corpora": {name: dict(zip(names, size, strict=True)) for name, size in sizes.items()},
            "files": files,
        }
        text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
        (self.output / REPORT_NAME).write_text(text, encoding="utf-8")


def _log_counts(name: str, counts: Mapping[str, FileCounts]) -> None:
    for file, count in counts.items():
        reasons = ", ".join(f"{number} {rule}" for rule, number in count.dropped.most_common() if number)
        log.info(
            "%s: %s: %d pairs, %d kept%s", name, file, count.read, count.kept, f"; {reasons}" * bool(reasons)
        )


def prepared_corpora(folder: Path) -> Iterator[str]:
    """The corpora of a folder that `Preparation` has written, by name.

    Raises:
        DataError: it is none, or its preparation did not end.
    """
    path = folder / REPORT_NAME
    if not is_prepared(folder):
        raise DataError(f"{folder} is not prepared: it has no {REPORT_NAME}")
    try:
        yield from json.loads(path.read_text(encoding="utf-8"))["corpora"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def is_prepared(folder: Path) -> bool:
    """Whether a data folder holds shards, and no files of pairs to read."""
    return (folder / REPORT_NAME).is_file()
