"""Content that is almost right: what was right with bytes changed, cut out, repeated or put in."""

from __future__ import annotations

from hypothesis import strategies as st

EDGES = st.sampled_from([b"", b"\x00", b"\xff" * 8, b"\x80" * 10, b"\n" * 3, "è".encode(), b"\xed\xa0\x80"])


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """Content with up to four changes, each somewhere."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 40)))
        filling = draw(EDGES | st.binary(max_size=12) | st.just(content[start:end] * 2))
        content = content[:start] + filling + content[end:]
    return content
