"""Pictures of attention: whatever the tokens are, they are drawn and can be read."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from server.commands.heat_map import DrawingUnavailable, draw, label, require_matplotlib
from traghetto import Attention

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
SVG_TEXT = "{http://www.w3.org/2000/svg}text"
SOURCE = ("<2it>", "▁The", "▁ta", "ble", ".", "</s>")
TARGET = ("▁Il", "▁ta", "volo", ".", "</s>")


def attention(
    source: tuple[str, ...] = SOURCE, target: tuple[str, ...] = TARGET, heads: tuple[int, ...] = (0, 1)
) -> Attention:
    """Random weights."""
    weights = np.random.default_rng(3).dirichlet(np.ones(len(source)), len(target))
    rows = tuple(map(tuple, weights.tolist()))
    return Attention(source_tokens=source, target_tokens=target, layer=1, heads=heads, weights=rows)


def texts_of(path: Path) -> list[str]:
    return [element.text or "" for element in ET.parse(path).iter(SVG_TEXT)]  # noqa: S314 - our own


def size_of(png: Path) -> tuple[int, int]:
    """Width and height in dots, from the header."""
    content = png.read_bytes()
    assert content.startswith(PNG_MAGIC)
    width, height = struct.unpack(">II", content[16:24])
    return width, height


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        ("▁The", "The"),
        ("ble", "-ble"),
        (".", "-."),
        ("▁", "▁"),
        ("▁▁", "▁"),
        ("</s>", "</s>"),
        ("<2it>", "<2it>"),
        ("<0xF0>", "<0xF0>"),
        ("<", "-<"),
        ("a\nb", "-a\\nb"),
        ("▁\x00", "\\x00"),
        ("\u2028", "-\\u2028"),
        ("\ud800", "-\\ud800"),
        ("é漢🛶", "-é漢🛶"),
    ],
)
def test_a_label_tells_a_words_start_from_its_continuation(piece: str, shown: str) -> None:
    assert label(piece) == shown


def test_a_very_long_label_is_shortened() -> None:
    assert len(label("▁" + "x" * 1000)) == 32
    assert label("▁" + "x" * 1000).endswith("x…")


def test_an_svg_holds_every_label_the_axes_and_the_title_as_text(tmp_path: Path) -> None:
    draw(attention(), "en-it", tmp_path / "a.svg")
    found = texts_of(tmp_path / "a.svg")
    assert found[:7] == ["<2it>", "The", "ta", "-ble", "-.", "</s>", "source"]
    assert found[7:13] == ["Il", "ta", "-volo", "-.", "</s>", "target"]
    assert found[13:16] == ["en-it", "attention of decoder layer 1", "mean of heads 0, 1"]
    assert found[-1] == "weight"


def test_one_head_is_no_mean(tmp_path: Path) -> None:
    draw(attention(heads=(3,)), "en-it", tmp_path / "a.svg")
    assert "head 3" in texts_of(tmp_path / "a.svg")


def test_a_png_grows_with_the_tokens(tmp_path: Path) -> None:
    sizes = []
    for times in (1, 4):
        draw(attention(SOURCE * times, TARGET * 3 * times), "en-it", tmp_path / "a.png")
        sizes.append(size_of(tmp_path / "a.png"))
    (width, height), (larger_width, larger_height) = sizes
    assert larger_width > 2 * width
    assert larger_height > 2 * height


@pytest.mark.parametrize("suffix", ["png", "svg", "PNG"])
@pytest.mark.parametrize(
    "pieces",
    [("$x", "$a_b$", "$\\frac{", "\\alpha$$"), ("🛶", "漢字", "क्षि", "عربي"), ("\n", "\x00", "▁", "&<\"'>")],
    ids=["no formula", "no glyph", "no character"],
)
def test_any_characters_can_be_drawn(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, pieces: tuple[str, ...]
) -> None:
    """Warnings are errors here: none comes out."""
    path = tmp_path / f"a.{suffix}"
    draw(attention(pieces, pieces[::-1]), "$model$\n", path)
    assert capfd.readouterr() == ("", "")
    assert path.stat().st_size > 1000
    if suffix == "svg":
        found = texts_of(path)
        assert found[:4] == [label(piece) for piece in pieces]
        assert "$model$\\n" in found


def test_one_token_each_way_is_drawn(tmp_path: Path) -> None:
    draw(attention(("</s>",), ("</s>",)), "en-it", tmp_path / "a.png")
    width, height = size_of(tmp_path / "a.png")
    assert width > 100
    assert height > 100


def test_a_folder_that_is_missing_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        draw(attention(), "en-it", tmp_path / "nowhere" / "a.png")


def test_without_matplotlib_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_matplotlib()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DrawingUnavailable, match=r"pip install 'traghetto-server\[draw\]'"):
        draw(attention(), "en-it", tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
