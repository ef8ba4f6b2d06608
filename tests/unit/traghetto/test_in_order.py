"""Many texts at once, and the answers still in order."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator

import grpc
import pytest

from traghetto import CallError, Result, TextError
from traghetto.in_order import in_order

CONCURRENCY = 64


def answer(text: str) -> Result:
    return TextError(grpc.StatusCode.INTERNAL, text)  # a result that equals another one of the same text


def test_results_come_in_order_whichever_is_done_first() -> None:
    delays = random.Random(5)
    texts = [str(i) for i in range(300)]
    seconds = {text: delays.uniform(0, 0.02) for text in texts}

    def translate(text: str) -> Result:
        time.sleep(seconds[text])
        return answer(text)

    assert list(in_order(translate, texts, CONCURRENCY)) == [answer(text) for text in texts]


def test_texts_are_translated_at_the_same_time() -> None:
    together = threading.Barrier(8)

    def translate(text: str) -> Result:
        together.wait(timeout=60)  # passes only if 8 calls are under way
        return answer(text)

    assert len(list(in_order(translate, [str(i) for i in range(8)], CONCURRENCY))) == 8


def test_only_so_many_texts_are_read_ahead() -> None:
    is_open, num_read = threading.Event(), 0

    def texts() -> Iterator[str]:
        nonlocal num_read
        for i in range(10 * CONCURRENCY):
            num_read += 1
            yield str(i)

    def translate(text: str) -> Result:
        is_open.wait(timeout=60)
        return answer(text)

    def open_when_reading_stalls() -> None:
        for before in iter(lambda: num_read, None):
            time.sleep(0.2)
            if num_read == before > 0:
                break
        seen.append(num_read)
        is_open.set()

    seen: list[int] = []
    watcher = threading.Thread(target=open_when_reading_stalls)
    watcher.start()
    found = list(in_order(translate, texts(), CONCURRENCY))
    watcher.join()
    assert found == [answer(str(i)) for i in range(10 * CONCURRENCY)]
    assert CONCURRENCY <= seen[0] <= CONCURRENCY + 2


def test_a_result_is_given_before_the_next_text_is_read() -> None:
    """As for someone who types a line and waits for its translation."""
    is_answered = threading.Event()

    def texts() -> Iterator[str]:
        yield "first"
        assert is_answered.wait(timeout=60)
        yield "second"

    results = in_order(answer, texts(), CONCURRENCY)
    assert next(results) == answer("first")
    is_answered.set()
    assert list(results) == [answer("second")]


def test_no_texts_give_no_results() -> None:
    assert list(in_order(answer, [], CONCURRENCY)) == []


def test_a_call_that_fails_raises_where_its_result_would_be() -> None:
    def translate(text: str) -> Result:
        if text == "2":
            raise CallError(grpc.StatusCode.NOT_FOUND, "no such model")
        return answer(text)

    results = in_order(translate, "01234", CONCURRENCY)
    assert list(itertools.islice(results, 2)) == [answer("0"), answer("1")]
    with pytest.raises(CallError, match="no such model"):
        next(results)


@pytest.mark.timeout(30)
@pytest.mark.filterwarnings("default")  # what counts here is that it ends
def test_a_source_of_texts_that_fails_raises_too() -> None:
    """Standard input that is not UTF-8, for example."""

    def texts() -> Iterator[str]:
        yield "first"
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    results = in_order(answer, texts(), CONCURRENCY)
    assert next(results) == answer("first")
    with pytest.raises(UnicodeDecodeError):
        next(results)
