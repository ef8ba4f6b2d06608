"""Texts of all kinds: scripts, line breaks, invisible characters, placeholders."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# However slow the machine is.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

PIECES = (
    *("The cat", "sat", "Mr. Smith", "e.g.", "3.14", "1,234", "NASA", "perché", "naïve", "ſt", "ß"),
    *(".", "!", "?", "...", "…", ",", ";", ":", "—", "(", ")", '"', "“", "”", "'", "*", "-", "1."),
    *(" ", "  ", "\t", "\n", "\n\n", "\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u00a0", "\u3000"),
    *("\0", "\x92", "\u00ad", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u202e", "\u2069", "\ufe0f"),
    *("今日は。", "元気", "？", "، ", "می\u200cخواهم", "नमस्ते।", "สวัสดี", "🛶", "👩\u200d🚀", "❤\ufe0f"),
    *("{name}", "%s", "%1$d", "https://a.example/b?c=1", "<ph/>", "#boat", "a@b.example"),
)
texts = st.one_of(
    st.text(max_size=80),
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=40).map(" ".join),
)
languages = st.sampled_from(("en", "it", "de", "nl", "ja", "zh-Hans", "ar", "hi", "pt-BR", "xx"))
