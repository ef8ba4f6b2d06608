"""Further forms of a pair, so that a model also knows what its corpora hardly have.

Capitals, typographic quotation marks, missing full stops, other numbers and names, addresses and
placeholders that must come out as they went in. Each form is made on
both sides alike, so that the pair stays a translation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from model.preparation.inventions import Inventions

Texts = tuple[str, str]
Form = Callable[[str, str], Texts | None]

_EMOJI = (
    "😀 😂 🙂 😉 😍 😊 😢 😭 😡 👍 👎 🙏 👏 🎉 🔥 ✨ 🚀 💡 📅 📌 🐱 🐶 🌍 ☕ 🍕 ⚽ 🎵 🚗 ✅ ❌ ⚠️ ❤️ 💙 🤔 😎",
    "🥳 👋 🇮🇹 🇬🇧 ⭐ 👨\u200d👩\u200d👧 🤷 💪 🌞 🌧️ 🍝 🎂 📷 🏠 🕒",
)
EMOJI = tuple(emoji for line in _EMOJI for emoji in line.split())
_TAGS = ("b", "i", "em", "strong", "p", "span", "h1", "li", "a", "code")
_QUOTES = ("“”", "«»", '""', "()")
_BULLETS = ("- ", "• ", "– ", "* ", "1. ", "a) ", "# ", "— ")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_QUOTED = re.compile(r'"([^"]*)"')


class Augmenter:
    """Puts pairs into other forms; the same seed makes the same.

    Args:
        chance: Where the draws come from.
        inventions: What is put into texts.
        placeholder_characters: Private-use characters that the tokenizer knows as pieces: each stands for
            something that a model must carry over whole.
        common_name: A name so frequent in a corpus that other names take its place; None for none.
    """

    def __init__(
        self,
        chance: Random,
        inventions: Inventions,
        placeholder_characters: str = "",
        common_name: str | None = None,
    ) -> None:
        self._chance, self._inventions = chance, inventions
        self._placeholder_characters = placeholder_characters
        self._common_name = re.compile(rf"\b{re.escape(common_name)}\b") if common_name else None
        self._forms: tuple[tuple[float, Form], ...] = (
            (0.02, lambda a, b: (a.upper(), b.upper())),
            (0.02, lambda a, b: (a.lower(), b.lower())),
            (0.03, _without_full_stop),
            (0.05, self._with_other_numbers),
            (0.025, self._with_insertion),
            (0.015, self._with_placeholder_character),
            (0.008, self._with_emoji),
            (0.008, self._in_tags),
            (0.02, self._in_quotes),
            (0.01, _with_typographic_quotes),
            (0.005, lambda a, b: (a.rstrip(".") + "…", b.rstrip(".") + "…")),
            (0.005, self._with_dash),
            (0.007, self._as_list_item),
        )

    def form(self, first: str, second: str) -> Texts:
        """The pair, in one of eight cases in another form."""
        first, second = self._with_other_name(first, second)
        draw = self._chance.random()
        for share, make in self._forms:
            if draw < share:
                return make(first, second) or (first, second)
            draw -= share
        return first, second

    def _with_other_name(self, first: str, second: str) -> Texts:
        pattern = self._common_name
        if pattern is None or self._chance.random() < 0.3:
            return first, second
        count = len(pattern.findall(first))
        if not count or count != len(pattern.findall(second)):
            return first, second
        name = self._inventions.name() if self._chance.random() < 0.9 else self._inventions.placeholder()
        return pattern.sub(lambda _: name, first), pattern.sub(lambda _: name, second)

    def _with_other_numbers(self, first: str, second: str) -> Texts | None:
        """Other digits in each number, if both sides have the same numbers, each once."""
        numbers = _NUMBER.findall(first)
        if sorted(numbers) != sorted(_NUMBER.findall(second)) or len(set(numbers)) != len(numbers):
            return None
        table = {number: self._other_number(number) for number in numbers}
        first, second = (_NUMBER.sub(lambda match: table[match.group()], t) for t in (first, second))
        return first, second

    def _other_number(self, number: str) -> str:
        if len(number) == 1:
            return str(self._chance.randint(2, 99))  # never 1, which takes the singular
        return "".join(self._chance.choice("0123456789") if c.isdigit() else c for c in number)

    def _with_insertion(self, first: str, second: str) -> Texts:
        make = self._inventions
        return self._insert(
            first,
            second,
            self._chance.choice((make.url, make.email, make.placeholder, make.placeholder, make.number))(),
        )

    def _with_placeholder_character(self, first: str, second: str) -> Texts | None:
        if not self._placeholder_characters:
            return None
        return self._insert(first, second, self._chance.choice(self._placeholder_characters))

    def _insert(self, first: str, second: str, text: str) -> Texts:
        pattern = self._chance.choice(("{0}: {1}", "{1}: {0}", "{0} ({1})", "{0} {1}"))
        first, second = (
            pattern.format(t.rstrip(".") if pattern[3] == ":" else t, text) for t in (first, second)
        )
        return first, second

    def _with_emoji(self, first: str, second: str) -> Texts:
        emoji = self._chance.choice(EMOJI) * self._chance.choice((1, 1, 1, 2, 3))
        if self._chance.random() < 0.2:
            return f"{emoji} {first}", f"{emoji} {second}"
        return f"{first} {emoji}", f"{second} {emoji}"

    def _in_tags(self, first: str, second: str) -> Texts:
        tag = self._chance.choice(_TAGS)
        opening = f"<{tag}>" if self._chance.random() < 0.7 else f'<{tag} class="{self._inventions.word()}">'
        return f"{opening}{first}</{tag}>", f"{opening}{second}</{tag}>"

    def _in_quotes(self, first: str, second: str) -> Texts:
        quotes = self._chance.choice(_QUOTES)
        return quotes[0] + first + quotes[1], quotes[0] + second + quotes[1]

    def _with_dash(self, first: str, second: str) -> Texts | None:
        if " - " not in first or " - " not in second:
            return None
        dash = self._chance.choice("–—")
        return first.replace(" - ", f" {dash} "), second.replace(" - ", f" {dash} ")

    def _as_list_item(self, first: str, second: str) -> Texts:
        bullet = self._chance.choice(_BULLETS)
        return bullet + first, bullet + second


def _without_full_stop(first: str, second: str) -> Texts | None:
    if first[-1:] != second[-1:] or first[-1:] not in ".!":
        return None
    return first[:-1], second[:-1]


def _with_typographic_quotes(first: str, second: str) -> Texts | None:
    if '"' not in first or '"' not in second:
        return None
    return _QUOTED.sub(r"“\1”", first), _QUOTED.sub(r"“\1”", second)


def in_title_case(text: str) -> str:
    """Each word with a capital, as English headlines have it.

    Example:
        >>> in_title_case("the cat isn't here")
        "The Cat Isn't Here"
    """
    return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))
