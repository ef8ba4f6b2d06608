"""The languages of a server, as lists of foreign APIs have them: which go into which, and their names."""

from __future__ import annotations

from collections.abc import Mapping

from server.gateway.upstream import Metadata, Upstream
from traghetto.pb.translation.v1 import translation_pb2 as pb

# English names, by ISO 639; a language without one here goes by its tag.
_TABLE = """
ar Arabic, bg Bulgarian, bn Bengali, bs Bosnian, ca Catalan, cs Czech, cy Welsh, da Danish, de
German, el Greek, en English, es Spanish, et Estonian, eu Basque, fa Persian, fi Finnish, fr French,
ga Irish, gl Galician, gu Gujarati, he Hebrew, hi Hindi, hr Croatian, hu Hungarian, hy Armenian, id
Indonesian, is Icelandic, it Italian, ja Japanese, ka Georgian, kk Kazakh, ko Korean, lt Lithuanian,
lv Latvian, mk Macedonian, ml Malayalam, mr Marathi, ms Malay, mt Maltese, nb Norwegian, nl Dutch,
nn Nynorsk, no Norwegian, pa Punjabi, pl Polish, pt Portuguese, ro Romanian, ru Russian, sk Slovak,
sl Slovenian, sq Albanian, sr Serbian, sv Swedish, sw Swahili, ta Tamil, te Telugu, th Thai, tr
Turkish, uk Ukrainian, ur Urdu, vi Vietnamese, zh Chinese
"""
_NAMES: dict[str, str] = dict(entry.split() for entry in _TABLE.split(","))


def name_of(tag: str) -> str:
    """A language's name in English, its script and region behind it.

    >>> name_of("it"), name_of("pt-BR"), name_of("tlh")
    ('Italian', 'Portuguese (BR)', 'tlh')
    """
    language, _, rest = tag.partition("-")
    if language not in _NAMES:
        return tag
    return f"{_NAMES[language]} ({rest})" if rest else _NAMES[language]


async def targets_by_source(upstream: Upstream, metadata: Metadata) -> Mapping[str, list[str]]:
    """For each language that is translated from those that it is translated into, in order.

    Raises:
        CallFailed: the server does not tell.
    """
    request = pb.ListLanguagePairsRequest()
    answer = await upstream.call("ListLanguagePairs", request, pb.ListLanguagePairsResponse, metadata)
    targets: dict[str, list[str]] = {}
    for pair in answer.pairs:
        targets.setdefault(pair.source_language, []).append(pair.target_language)
    return targets
