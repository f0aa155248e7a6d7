"""Pages of results, read by ranges of an object's bytes."""

import json
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from time import process_time
from typing import cast

import pytest

from batchdrop.dashboard import ranges
from batchdrop.dashboard.ranges import NoPlace, Page, Place, Ranges
from batchdrop.errors import SourceGone
from batchdrop.jobs.values import Drop, Results
from batchdrop.results import seeking
from batchdrop.storage import Storage
from batchdrop.stored import split_uri

BUCKET = "gs://output"


@dataclass
class Objects:
    """Objects by their addresses, and what was read of them."""

    data: dict[str, bytes]
    reads: list[int] = field(default_factory=list)

    def present(self, uri: str) -> Drop:
        if uri not in self.data:
            raise SourceGone(uri)
        bucket, name = split_uri(uri)
        size = len(self.data[uri])
        return Drop(bucket=bucket, name=name, generation=1, size=size)

    def ranges(self, drop: Drop) -> Callable[[int, int], bytes]:
        data = self.data[f"gs://{drop.bucket}/{drop.name}"]

        def read(start: int, end: int) -> bytes:
            assert 0 <= start < end <= len(data)
            self.reads.append(end - start)
            return data[start:end]

        return read


def line(number: int, outcome: str = "ok", size: int = 20) -> bytes:
    text = f"{number} " + "x" * size
    found = {"id": f"r{number:07d}", "line": number, "outcome": outcome, "text": text}
    return json.dumps(found, separators=(",", ":")).encode() + b"\n"


def results(made: list[bytes], every: int = 1000) -> tuple[Objects, Ranges]:
    """Results of these lines, with an entry of the index for each `every` ones."""
    offsets, size = [], 0
    for n, one in enumerate(made):
        if n % every == 0:
            offsets.append([n, size])
        size += len(one)
    index = json.dumps({"lines": len(made), "offsets": offsets}).encode()
    objects = Objects({f"{BUCKET}/r": b"".join(made), f"{BUCKET}/i": index})
    return objects, opened(objects, len(made))


def opened(objects: Objects, total: int) -> Ranges:
    found = Results(
        uri=f"{BUCKET}/r",
        generation=1,
        crc32c="",
        bytes=len(objects.data[f"{BUCKET}/r"]),
        index=f"{BUCKET}/i",
    )
    return Ranges(cast(Storage, objects), found, total)


def numbers(page: Page) -> list[int]:
    return [row.line for row in page.rows]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of a hundredth, for objects that are as much smaller."""
    monkeypatch.setattr(seeking, "WINDOW", 600)
    monkeypatch.setattr(ranges, "WINDOW", 600)
    monkeypatch.setattr(ranges, "KEPT", 600)
    monkeypatch.setattr(ranges, "KEPT_ALONE", 2400)
    monkeypatch.setattr(ranges, "STEP", 10_000)
    monkeypatch.setattr(ranges, "PAGE_BYTES", 20_000)
    monkeypatch.setattr(ranges, "LOOK_BYTES", 160_000)
    monkeypatch.setattr(ranges, "LONGEST", 640_000)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("share_of_blank", [0.0, 0.3])
def test_pages_have_each_row_once_and_read_no_more_than_they_may(
    share_of_blank: float,
) -> None:
    made = random.Random(1)
    there = [n for n in range(1, 1500) if made.random() >= share_of_blank]
    sizes = [made.choice([0, 50, 50, 400, 900]) for _ in there]
    sizes[100] = 300_000  # the longest one does not fit into a page
    objects, found = results(
        [line(n, size=size) for n, size in zip(there, sizes, strict=True)], every=100
    )

    seen: list[int] = []
    place: Place | None = Place(1, 0)
    while place:
        objects.reads.clear()
        page = found.page(place.n, place.at)
        assert page.first == len(seen) + 1
        assert page.looked == len(page.rows) <= ranges.PAGE
        if 101 not in range(page.first, page.first + page.looked):
            assert sum(objects.reads) <= ranges.PAGE_BYTES + 1
        seen += numbers(page)
        place = page.next

    assert seen == there
    [long] = [row for row in found.page(101).rows if row.line == there[100]]
    assert long.is_cut
    assert long.bytes > 300_000 or not long.bytes % ranges.PAGE_BYTES


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("size", [20, 500])
@pytest.mark.parametrize("blank", [0, 7])
@pytest.mark.parametrize("every", [100, 10_000])
def test_a_page_begins_with_any_result(size: int, blank: int, every: int) -> None:
    """With short and long lines, with blank ones among them, and with no index."""
    there = [n for n in range(1, 1200) if not blank or n % blank]
    objects, found = results([line(n, size=size) for n in there], every)

    for n in (1, 2, 99, 100, 101, 555, len(there)):
        objects.reads.clear()
        page = found.page(n)
        if page.first != n:  # too much lies before it
            assert (blank, every, size) == (7, 10_000, 500)
            assert 250 < page.first < n
        assert numbers(page) == there[page.first - 1 :][: len(page.rows)]
        assert len(objects.reads) <= 30


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("blank", [0, 7])
@pytest.mark.parametrize("every", [100, 10_000])
def test_each_row_is_found_by_its_line(blank: int, every: int) -> None:
    made = random.Random(2)
    there = [n for n in range(1, 1200) if not blank or n % blank]
    lines = [line(n, size=made.choice([0, 50, 900])) for n in there]
    objects, found = results(lines, every)

    for n in (1, 2, 99, 100, 555, there[-1]):
        objects.reads.clear()
        place, one = found.row(n)
        assert one is not None
        assert one.head + b"\n" == lines[there.index(n)]
        assert one.is_whole
        assert place.row is not None
        assert len(objects.reads) <= 20
    for n in (7, 70) if blank else ():
        place, one = found.row(n)
        assert one is None
        assert place.before
        assert place.after
        assert (place.before.number, place.after.number) == (n - 1, n + 1)
    assert found.row(5000)[1] is None


@pytest.mark.usefixtures("small")
def test_rows_of_an_outcome_are_looked_for_in_steps() -> None:
    made = [line(n, "failed" if n % 800 == 5 else "ok", 60) for n in range(1, 3001)]
    objects, found = results(made)

    pages = [found.page(1, only=["failed"])]
    while place := pages[-1].next:
        objects.reads.clear()
        pages.append(found.page(place.n, place.at, ["failed"]))
        assert sum(objects.reads) <= ranges.LOOK_BYTES + 1

    assert len(pages) > 2
    assert [n for page in pages for n in numbers(page)] == [5, 805, 1605, 2405]
    assert sum(page.looked for page in pages) == 3000
    assert numbers(found.page(6, only=["failed", "blocked"]))[:1] == [805]


def test_an_index_of_something_else_is_no_reason_to_fail() -> None:
    made = [line(n) for n in range(1, 2001)]
    for index in (
        b"",
        b"[]",
        b'{"lines":2000,"offsets":[[0,0],[1000,7]]}',
        b'{"lines":2000,"offsets":[[0,-5],[1000,99999999]]}',
        b'{"lines":2000,"offsets":[[1000,50000],[0,3]]}',
        b'{"lines":1,"offsets":[]}',
    ):
        objects, _ = results(made)
        objects.data[f"{BUCKET}/i"] = index
        found = opened(objects, 2000)

        page = found.page(1501)
        assert numbers(page) == [*range(page.first, page.first + 50)]
        assert found.row(1501)[1] is not None
    del objects.data[f"{BUCKET}/i"]
    assert numbers(opened(objects, 2000).page(1501))[0] == 1501


@pytest.mark.parametrize("at", [1, 30, 10**9])
def test_a_place_within_a_line_is_no_place(at: int) -> None:
    _, found = results([line(n) for n in range(1, 100)])

    with pytest.raises(NoPlace):
        found.page(2, at)


def test_an_index_of_somebody_elses_takes_little_memory() -> None:
    objects, found = results([line(n) for n in range(1, 200)])
    entries = b"[300,300]," * 800_000
    objects.data[f"{BUCKET}/i"] = b'{"lines":1,"offsets":[' + entries + b"[1,1]]}"
    tracemalloc.start()

    page = found.page(120)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert numbers(page)[0] == 120
    assert most < 50 * 1024**2


def test_a_page_ends_in_time_and_the_next_one_has_the_other_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranges, "SECONDS", 0)
    _, found = results([line(n, "failed") for n in range(1, 5)])

    for only in ((), ("failed",)):
        seen: list[int] = []
        place: Place | None = Place(1, 0)
        while place:
            page = found.page(place.n, place.at, only)
            assert page.looked == 1
            seen += numbers(page)
            place = page.next
        assert seen == [1, 2, 3, 4]


def test_the_outcome_of_a_long_line_takes_no_reading_of_its_answer() -> None:
    cells = '{"f":{"x":[[[]]]}},' * 20_000
    long = '{"id":"r0000001","line":1,"outcome":"ok","response":{"content":[' + cells
    _, found = results([f"{long}\n".encode()] * 20 + [line(21, "failed")])
    began = process_time()

    assert numbers(found.page(1, 0, ["failed"])) == [21]
    assert process_time() - began < 1


@pytest.mark.parametrize("before", [0, 1990, 2010, 2030, 9000])
def test_the_outcome_of_a_long_line_is_found_behind_a_long_key(before: int) -> None:
    line = f'{{"line":1,"key":"{"k" * before}","outcome":"failed","text":"'
    _, found = results([f'{line}{"x" * 80_000}"}}\n'.encode()])

    assert numbers(found.page(1, 0, ["failed"])) == [1]
