"""Made-up names, numbers, addresses and placeholders, for pairs that teach a model to copy."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

_SYLLABLES = (
    "ba", "ber", "cro", "dor", "deb", "eth", "ez", "fre", "go", "hal", "iel", "ini", "ja", "kan",
    "ka", "lan", "li", "mer", "mo", "ny", "pra", "qui", "ri", "rov", "sa", "shi", "ski", "son",
    "ste", "sto", "tau", "tel", "ulk", "ven", "ver", "vo", "wyn", "ix", "zu", "no",
)  # fmt: skip
_WORDS = (
    "api", "app", "count", "date", "docs", "example", "file", "help", "index", "info", "item",
    "mail", "name", "news", "page", "sales", "shop", "support", "test", "total", "user",
)  # fmt: skip
_DOMAINS = (".com", ".org", ".it", ".eu", ".net", ".io", ".co.uk", ".gov", ".dev")
_PROTOCOLS = ("https://", "http://", "https://www.", "www.", "")
_PAGES = (".html", ".pdf", "?id={}", "#{}", "/", "?q={}&lang=en")
_PLACEHOLDERS = (
    "{{{}}}", "{{0}}", "%s", "%d", "%({})s", "%1$s", "%2$d", "{{{{{}}}}}", "${{{}}}", "${}", "<{}>",
    "{{{{ {} }}}}", "%{}%", "[{}]", "#{}", "@{}", "`{}`", "--{}", "{}()", "{}.py", "{}.json", "/{}/bin",
)  # fmt: skip
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Inventions:
    """Draws what does not exist; equal seeds draw equal things.

    Args:
        chance: Where the draws come from.
        names: Real names, of which most of the drawn ones are; none makes all of them up.
    """

    def __init__(self, chance: Random, names: Sequence[str] = ()) -> None:
        self._chance, self._names = chance, names

    def word(self) -> str:
        """A word of small letters, half of the time an English one that files and pages are called by."""
        letters = self._chance.choices(_LETTERS, k=self._chance.randint(2, 9))
        return self._chance.choice((self._chance.choice(_WORDS), "".join(letters)))

    def name(self) -> str:
        """A name of one or two words."""
        words = [self._name() for _ in range(self._chance.choice((1, 1, 1, 2)))]
        return " ".join(words)

    def _name(self) -> str:
        if self._names and self._chance.random() < 0.6:
            return self._chance.choice(self._names)
        return "".join(self._chance.choices(_SYLLABLES, k=self._chance.randint(2, 4))).capitalize()

    def url(self) -> str:
        """The address of a page."""
        parts = [self.word() for _ in range(self._chance.randint(0, 3))]
        page = self._chance.choice(_PAGES).format(self.word()) if self._chance.random() < 0.2 else ""
        host = self._chance.choice(_PROTOCOLS) + self.word() + self._chance.choice(_DOMAINS)
        return "/".join((host, *parts)) + page

    def email(self) -> str:
        """A mail address."""
        user = self.word() + self._chance.choice(("", f".{self.word()}", f"_{self.word()}", "42"))
        return f"{user}@{self.word()}{self._chance.choice(_DOMAINS)}"

    def placeholder(self) -> str:
        """What programs put in place of a word, or a piece of code."""
        word = self._chance.choice((self.word(), f"{self.word()}_{self.word()}", self.word().upper()))
        return self._chance.choice(_PLACEHOLDERS).format(word)

    def number(self) -> str:
        """A number, time, date, price, share or code, as text has them."""
        whole = self._chance.randint
        return self._chance.choice(
            (
                str(whole(0, 10 ** whole(1, 5))),
                str(whole(0, 10 ** whole(1, 5))),
                f"{whole(0, 23)}:{whole(0, 59):02}",
                f"{whole(0, 999)}.{whole(0, 10 ** whole(1, 5))}",
                f"{whole(1, 28)}/{whole(1, 12)}/{whole(1900, 2035)}",
                f"{whole(1990, 2035)}-{whole(1, 12):02}-{whole(1, 28):02}",
                f"{self._chance.choice('$€£')}{whole(1, 9999)}.{whole(0, 99):02}",
                f"{whole(1, 100)}%",
                f"+{whole(10, 99)} {whole(100, 999)} {whole(1000, 9999)}",
                f"{self._chance.choice('ABCDEFGHKLMPRSTVXZ')}{whole(1, 9999)}",
            )
        )
