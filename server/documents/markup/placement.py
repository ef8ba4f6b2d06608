"""Tags of a sentence at the words of its translation that they belong to; each of them once, well nested."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from server.documents.markup.tokens import Kind
from server.documents.markup.units import Mark

Owners = Sequence[int | None]  # for each target word the source word
_UNOWNED = -0.5  # what a word that belongs to nothing costs an element that takes it in


@dataclass(slots=True)
class Node:
    """An element of a sentence, or something without content.

    Args:
        first, last: The source words in it; of something without content both are the word behind it.
        begin, finish: Its tags; None where the element begins before or ends behind the sentence.
    """

    first: int
    last: int
    begin: Mark | None = None
    finish: Mark | None = None
    children: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Placed:
    """A mark and the target word that it stands before.

    Args:
        is_behind: Whether it stands at the end of the word before that, as a closing tag does.
        end: Of what has no words in the translation, where that ends in the source; None for any other.
    """

    mark: Mark
    place: int
    is_behind: bool
    end: int | None = None


def tree_of(marks: Sequence[Mark], starts: Sequence[int]) -> Node:
    """The elements of a sentence.

    Args:
        marks: In order; none is a WORD.
        starts: Where each source word begins, in the characters of the marks' places.
    """
    num_words = len(starts)
    inside = {mark.token.pair for mark in marks if mark.token.kind is Kind.OPEN}
    root = Node(0, num_words)
    is_open = [root]
    for mark in marks:
        place = bisect_left(starts, mark.place)
        match mark.token.kind:
            case Kind.OPEN:
                node = Node(place, num_words, begin=mark)
                is_open[-1].children.append(node)
                is_open.append(node)
            case Kind.CLOSE if _begins(is_open[-1], mark):
                node = is_open.pop()
                node.last, node.finish = place, mark
            case Kind.CLOSE if mark.token.pair not in inside:
                # Its element began before the sentence: all so far is in it.
                is_open[-1].children = [Node(0, place, finish=mark, children=is_open[-1].children)]
            case _:
                is_open[-1].children.append(Node(place, place, begin=mark))
    return root


def place_in_order(marks: Sequence[Mark], starts: Sequence[int], num_targets: int) -> list[Placed]:
    """Every mark as far along as in the source, in its order there: for sentences of hardly anything else."""
    return [
        Placed(
            mark,
            bisect_left(starts, mark.place) * num_targets // max(len(starts), 1),
            is_behind=mark.token.kind is not Kind.OPEN,
        )
        for mark in marks
    ]


def _begins(node: Node, mark: Mark) -> bool:
    return node.begin is not None and node.begin.token.pair == mark.token.pair


def place_marks(root: Node, owners: Owners) -> list[Placed]:
    """Every mark of a sentence, in order, with its place among the target words."""
    output: list[Placed] = []
    _place(root.children, 0, len(owners), owners, output)
    return output


def _place(nodes: Sequence[Node], low: int, high: int, owners: Owners, output: list[Placed]) -> None:
    """Place nodes of one level among the words from `low` to before `high`."""
    before = next((node for node in nodes if node.begin is None), None)
    if before is not None:
        cut = _cut(low, high, owners, lambda source: source < before.last)
        _place(before.children, low, cut, owners, output)
        assert before.finish is not None
        output.append(Placed(before.finish, cut, is_behind=True))
        low = cut
    behind = next((node for node in nodes if node.begin and not node.finish and node.last > node.first), None)
    cut = high
    if behind is not None:
        cut = _cut(low, high, owners, lambda source: source < behind.first)
    rest = [node for node in nodes if node is not before and node is not behind]
    for node, start, end in sorted(_intervals(rest, low, cut, owners), key=lambda item: item[1:]):
        _place_node(node, start, end, owners, output)
    if behind is not None:
        assert behind.begin is not None
        output.append(Placed(behind.begin, cut, is_behind=False))
        _place(behind.children, cut, high, owners, output)


def _place_node(node: Node, start: int, end: int, owners: Owners, output: list[Placed]) -> None:
    assert node.begin is not None
    is_empty = start == end
    last = (node.finish or node.begin).token.end
    output.append(Placed(node.begin, start, is_behind=is_empty, end=last if is_empty else None))
    _place(node.children, start, end, owners, output)
    if node.finish is not None:
        output.append(Placed(node.finish, end, is_behind=True))


def _cut(low: int, high: int, owners: Owners, is_before: Callable[[int], bool]) -> int:
    """Where words that belong before a tag are best parted from those that belong behind it."""
    best, fit, best_fit = low, 0, 0  # fits, beside those of a cut at `low`
    for place in range(low, high):
        owner = owners[place]
        if owner is not None:
            fit += 1 if is_before(owner) else -1
        if fit > best_fit:
            best, best_fit = place + 1, fit
    return best


def _intervals(nodes: Sequence[Node], low: int, high: int, owners: Owners) -> list[tuple[Node, int, int]]:
    """Where each node of a level begins and ends; none overlaps another."""
    with_words = [node for node in nodes if node.first < node.last]
    belongs = [
        next(
            (i for i, node in enumerate(with_words) if owner is not None and node.first <= owner < node.last),
            -1,
        )
        for owner in owners[low:high]
    ]
    runs: list[tuple[Node, int, int]] = []
    for i, node in enumerate(with_words):
        best = _best_run([_gain(number, i) for number in belongs])
        if best is not None:
            runs.append((node, low + best[0], low + best[1]))
    with_runs, points = {id(node) for node, _, _ in runs}, list[tuple[Node, int, int]]()
    for node in nodes:
        if id(node) not in with_runs:
            place = _outside(_place_before(node.first, low, high, owners), runs)
            # An element of words that no target word looks at, as a link, gets the next word that is free.
            is_free = place < high and not any(start <= place < end for _, start, end in runs)
            if node.first < node.last and is_free:
                runs.append((node, place, place + 1))
            else:
                points.append((node, place, place))
    return runs + points


def _gain(number: int, node: int) -> float:
    return 1.0 if number == node else _UNOWNED if number == -1 else float("-inf")


def _best_run(gains: Sequence[float]) -> tuple[int, int] | None:
    """The run of the highest sum above 0 (Kadane's algorithm)."""
    best, best_sum = None, 0.0
    start, total = 0, 0.0
    for i, gain in enumerate(gains):
        if total <= 0:
            start, total = i, 0.0
        total += gain
        if total > best_sum:
            best, best_sum = (start, i + 1), total
    return best


def _place_before(source: int, low: int, high: int, owners: Owners) -> int:
    """Behind the words whose source words come before one, as far as they stand together."""
    nearest = max((owner for owner in owners[low:high] if owner is not None and owner < source), default=None)
    if nearest is None:
        return low
    return max(place for place in range(low, high) if owners[place] == nearest) + 1


def _outside(place: int, runs: Sequence[tuple[Node, int, int]]) -> int:
    """A place, or if it is within another element the end of that."""
    return next((end for _, start, end in runs if start < place < end), place)
