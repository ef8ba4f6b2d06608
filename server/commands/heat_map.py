"""Draws attention over the source: source tokens along x, target tokens along y, a colour for each weight."""

from __future__ import annotations

import importlib.util
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traghetto import Attention

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WORD_START = "▁"
_SPECIAL = re.compile("<.+>")  # a tag, the end of sentence, a byte
_MAX_LABEL = 32  # characters: twice what SentencePiece's pieces have at most, unless told otherwise
_CELL_INCHES = 0.3
_LEAST_INCHES = 1.8  # the colour bar of few tokens has room for its numbers
_GAP_INCHES, _BAR_INCHES = 0.2, 0.15
_PNG_DOTS_PER_INCH = 130


class DrawingUnavailable(RuntimeError):
    """Matplotlib is not installed."""

    def __init__(self) -> None:
        super().__init__("to draw, matplotlib is needed: pip install 'traghetto-server[draw]'")


def require_matplotlib() -> None:
    """Find out whether `draw` can draw, before there is anything to lose.

    Raises:
        DrawingUnavailable: it cannot.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise DrawingUnavailable


def draw(attention: Attention, model: str, path: Path) -> None:
    """Draw a heat map, larger for more tokens.

    Args:
        attention: At least one source and one target token.
        model: Its name, for the title.
        path: Its suffix, .png or .svg, is the format.

    Raises:
        DrawingUnavailable: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    require_matplotlib()
    from matplotlib import rc_context  # noqa: PLC0415 - an extra, and slow: only for those who draw
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    width, height = (
        max(_CELL_INCHES * len(tokens), _LEAST_INCHES)
        for tokens in (attention.source_tokens, attention.target_tokens)
    )
    # Text is taken as it is, no formula between two "$"; in an SVG it stays text, for the viewer's fonts.
    style = rc_context(
        {"font.size": 9, "svg.fonttype": "none", "text.parse_math": False, "text.usetex": False}
    )
    with style, warnings.catch_warnings():
        # No font has every character: a box stands for one that is missing, without a line for each.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1))  # all of the figure; labels grow it when it is saved
        _fill(axes, attention)
        axes.set_title(_title(attention, model))
        bar = figure.add_axes((1 + _GAP_INCHES / width, 0, _BAR_INCHES / width, 1))
        figure.colorbar(axes.images[0], cax=bar, label="weight")
        figure.savefig(path, dpi=_PNG_DOTS_PER_INCH, bbox_inches="tight")


def _fill(axes: Axes, attention: Attention) -> None:
    sources, targets = list(attention.source_tokens), list(attention.target_tokens)
    weights: NDArray[np.float32] = np.array(attention.weights, np.float32)  # (T, S)
    axes.imshow(
        weights,
        aspect="auto",
        cmap="Blues",
        vmin=0,
        interpolation="nearest",
    )
    axes.set_xticks(range(len(sources)), [label(piece) for piece in sources], rotation=90)
    axes.set_yticks(range(len(targets)), [label(piece) for piece in targets])
    axes.set(xlabel="source", ylabel="target")


def _title(attention: Attention, model: str) -> str:
    heads = list(attention.heads)
    which = f"head {heads[0]}" if len(heads) == 1 else f"mean of heads {', '.join(map(str, heads))}"
    return f"{_printable(model)}\nattention of decoder layer {attention.layer}\n{which}"


def label(piece: str) -> str:
    """How to show a piece: a word's first without its mark, others after a "-", a special token as it is."""
    if _SPECIAL.fullmatch(piece) or piece == _WORD_START:
        return _printable(piece)
    if piece.startswith(_WORD_START):
        return _printable(piece.removeprefix(_WORD_START))
    return _printable("-" + piece)


def _printable(text: str) -> str:
    """Without line breaks and whatever else no picture can show; such characters are spelled out."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= _MAX_LABEL else shown[: _MAX_LABEL - 1] + "…"
