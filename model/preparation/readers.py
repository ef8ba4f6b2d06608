"""Parallel text in the formats that people have it in, read pair by pair: no file is held in memory whole.

| ending | what |
|---|---|
| .tsv | two columns, a tab between; further ones are left out |
| .tmx | translation memories (TMX 1.4) |
| .po | gettext, translated entries that are not fuzzy |
| .jsonl | an object a line, the languages' codes are its keys |
| .parquet | columns named by the languages' codes, or one of objects, `translation` |

Text formats may be packed (.gz). Two files of one sentence a line each, as Moses has them, are named
with a comma between: `news.en,news.it`.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from model.text.parallel_text import DataError, numbered_lines, numbered_pairs, read_pairs

_XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


@dataclass(frozen=True, slots=True)
class Pair:
    """A sentence in two languages, and where it stands.

    Args:
        place: Line, unit, entry or row of its file, from 1.
        first, second: The text in the first and the second language of the run.
    """

    place: int
    first: str
    second: str


Languages = tuple[str, str]
Reader = Callable[[Path, Languages], Iterator[Pair]]


def read(folder: Path, name: str, languages: Languages) -> Iterator[Pair]:
    """The pairs of a file, or of two with a comma between.

    Args:
        languages: BCP-47 codes of the first and the second text of each pair.

    Raises:
        DataError: no such file, a format that nobody here reads, or damaged content, with its place.
    """
    if "," in name:
        return _read_moses(folder, name)
    path = folder / name
    ending = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if ending not in _READERS:
        raise DataError(f"{path}: format {ending!r} is not one of {', '.join(_READERS)}, or FILE,FILE")
    if not path.is_file():
        raise DataError(f"no data file {path}")
    return _READERS[ending](path, languages)


def read_all(folder: Path, name: str, languages: Languages) -> list[tuple[str, str]]:
    """All pairs of a file; one whose ending is no format's is read as tab-separated.

    Raises:
        DataError: no such file, or damaged content, with its place.
    """
    path = folder / name
    ending = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if "," not in name and ending not in _READERS:
        return read_pairs(path)
    return [(pair.first, pair.second) for pair in read(folder, name, languages)]


def _read_tsv(path: Path, languages: Languages) -> Iterator[Pair]:
    del languages
    return (Pair(number, *pair) for number, pair in numbered_pairs(path))


def _read_moses(folder: Path, names: str) -> Iterator[Pair]:
    paths = [folder / name for name in names.split(",")]
    if len(paths) != 2:
        raise DataError(f"{names}: {len(paths)} files, must be 2 with a comma between")
    first, second = map(numbered_lines, paths)
    for a, b in itertools.zip_longest(first, second):
        if a is None or b is None:
            shorter, longer = (paths[0], paths[1]) if a is None else (paths[1], paths[0])
            raise DataError(f"{shorter} has fewer lines than {longer}")
        yield Pair(a[0], a[1], b[1])


def _read_jsonl(path: Path, languages: Languages) -> Iterator[Pair]:
    for number, line in numbered_lines(path):
        try:
            fields = json.loads(line)
            texts = fields.get("translation", fields)
            pair = tuple(texts[language] for language in languages)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}, line {number}: no object with texts {languages}: {error}") from error
        yield _checked(path, number, pair)


def _read_parquet(path: Path, languages: Languages) -> Iterator[Pair]:
    from pyarrow import ArrowException, parquet  # noqa: PLC0415 - an extra: only for those who have such files

    number = 0
    try:
        file = parquet.ParquetFile(path)
        for batch in file.iter_batches(batch_size=4096):
            for row in batch.to_pylist():
                number += 1
                texts = row.get("translation") or row
                yield _checked(path, number, tuple(texts.get(language) for language in languages))
    except (ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def _read_tmx(path: Path, languages: Languages) -> Iterator[Pair]:
    from lxml import etree  # noqa: PLC0415 - likewise an extra

    try:
        with _open_bytes(path) as file:
            # Neither entities nor networks: a memory from a stranger must not reach for other files.
            units = etree.iterparse(file, tag="tu", resolve_entities=False, no_network=True, huge_tree=True)
            for number, (_, unit) in enumerate(units, 1):
                variants = {_tmx_language(v): "".join(v.find("seg").itertext()) for v in _variants(unit)}
                texts = [_in_language(variants, language.lower()) for language in languages]
                if None not in texts:
                    yield _checked(path, number, tuple(texts))
                _forget(unit)
    except (etree.XMLSyntaxError, OSError, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def _variants(unit: Any) -> list[Any]:
    return [variant for variant in unit.iterfind("tuv") if variant.find("seg") is not None]


def _tmx_language(variant: Any) -> str:
    code: str = variant.get(_XML_LANGUAGE) or variant.get("lang") or ""
    return code.lower()


def _in_language(variants: dict[str, str], language: str) -> str | None:
    """The variant of a language, or of a region of it: memories say en-US where a run says en."""
    if language in variants:
        return variants[language]
    main = language.partition("-")[0]
    return next((text for code, text in variants.items() if code.partition("-")[0] == main), None)


def _forget(unit: Any) -> None:
    """Give back the memory of a unit and of all before it."""
    unit.clear()
    while unit.getprevious() is not None:
        del unit.getparent()[0]


def _open_bytes(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _read_po(path: Path, languages: Languages) -> Iterator[Pair]:
    """Entries whose message is text of the first language; a catalogue of the first language turns them."""
    import polib  # noqa: PLC0415 - likewise an extra

    if path.suffix == ".gz":
        raise DataError(f"{path}: a .po file must not be packed")
    try:
        catalogue = polib.pofile(str(path))
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    is_turned = catalogue.metadata.get("Language", "").lower().replace("_", "-").startswith(languages[0])
    for entry in catalogue.translated_entries():
        texts = (entry.msgid, entry.msgstr) if not is_turned else (entry.msgstr, entry.msgid)
        if not entry.msgid_plural:
            yield Pair(entry.linenum or 0, *texts)


def _checked(path: Path, place: int, texts: tuple[Any, ...]) -> Pair:
    first, second = texts
    if not isinstance(first, str) or not isinstance(second, str):
        raise DataError(f"{path}, {place}: the texts are {first!r} and {second!r}, must be strings")
    return Pair(place, first, second)


_READERS: dict[str, Reader] = {
    ".tsv": _read_tsv,
    ".tmx": _read_tmx,
    ".po": _read_po,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
