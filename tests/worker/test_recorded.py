"""What staging records beside the rows: each line's kind, and the rows' own columns."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Staging
from batchdrop.preflight import SKIP, Rules
from batchdrop.results.lines import Kind, decoded
from batchdrop.worker import reading, recorded
from batchdrop.worker.reading import BadRows, Limits, Piece
from batchdrop.worker.recorded import Recorded
from tests.often import mostly
from tests.worker.batches import empty_ledger, reconcile
from tests.worker.dying import Killed, die, failpoints
from tests.worker.parts import split_job
from tests.worker.world import GOOD, World

REQUEST = '{"contents":[{"role":"user","parts":[{"text":"hello"}]}]'
KEYED = "".join(
    f'{{{own}, "request": {REQUEST}}}}}\n'
    for own in (
        '"key": "007", "customer": "x", "n": 1.0',
        '"key": "b", "big": 123456789012345678901234567890',
        r'"key": "c\u00e9"',
    )
)
#: The sidecar of that file.
OWN = (
    b'{"id":1,"key":"007","columns":{"customer":"x","n":1.0}}\n'
    b'{"id":2,"key":"b","columns":{"big":123456789012345678901234567890}}\n'
    b'{"id":3,"key":"c\\u00e9"}\n'
)


@contextmanager
def at(point: str) -> Iterator[None]:
    """The worker dies when it comes to this point."""
    with failpoints(lambda name: die() if name == point else None):
        yield


# -- a reading by itself, against a slow one -------------------------------------------


@dataclass
class Part:
    """What is recorded of a part, once it is decoded."""

    first: int = 0
    kinds: list[Kind] = field(default_factory=list)
    own: list[Any] = field(default_factory=list)
    refused: int = 0
    json: str = "none"
    staged: int = 0


class Objects:
    """Objects that are there once their writer has come to its end."""

    def __init__(self) -> None:
        self.found: dict[str, bytes] = {}

    @contextmanager
    def writing(self, uri: str) -> Iterator[Callable[[bytes], None]]:
        data = bytearray()
        yield data.extend
        assert uri not in self.found
        self.found[uri] = bytes(data)


def read(text: bytes, size: int, limits: Limits) -> list[Part]:
    """The parts of a file, by the worker's own code."""
    made = reading.Reading(Rules(on_invalid=SKIP), limits)
    chunks = (text[at : at + size] for at in range(0, len(text), size))
    parts = []
    for n, pieces in groupby(
        made.pieces([("", chunks)], bytearray().extend), lambda p: p.part
    ):
        objects, uri, staged = Objects(), f"gs://work/{n}/requests.jsonl", 0
        with Recorded(uri, objects.writing) as found:
            for piece in pieces:
                found.add(piece)
                staged += piece.rows
            found.finish()
        kinds = [Kind.STAGED_JSON if found.json == "all" else Kind.STAGED] * staged
        if found.lines:
            runs = decoded([objects.found.pop(found.lines)])
            kinds = [kind for kind, count in runs for _ in range(count)]
        own = b"" if found.sidecar is None else objects.found.pop(found.sidecar)
        assert objects.found == {}
        rows = [json.loads(line) for line in own.splitlines()]
        assert found.sidecar is None or rows
        parts.append(Part(found.first, kinds, rows, found.refused, found.json, staged))
    return parts


def expected(lines: list[bytes], limits: Limits) -> list[Part]:
    """The same, a line at a time."""
    parts, blanks, size = [Part()], 0, 0
    for number, line in enumerate(lines, 1):
        part = parts[-1]
        if not line.strip():
            blanks += bool(part.kinds)
            continue
        if line == BAD:
            kind = Kind.REFUSED
        else:
            sent = b'{"key":"r0000001",' + line[line.index(b'"request"') :] + b"\n"
            if part.staged and not limits.hold(part.staged + 1, size + len(sent)):
                part, blanks, size = Part(), 0, 0
                parts.append(part)
            part.staged += 1
            size += len(sent)
            kind = Kind.STAGED_JSON if b"json" in line else Kind.STAGED
            row = {k: v for k, v in json.loads(line).items() if k != "request"}
            if row:
                key = {"key": row.pop("key")} if "key" in row else {}
                columns = {"columns": row} if row else {}
                part.own.append({"id": number} | key | columns)
        part.first = part.first or number
        part.kinds += [Kind.BLANK] * blanks + [kind]
        part.refused += kind is Kind.REFUSED
        blanks = 0
    for part in parts:
        asked = part.kinds.count(Kind.STAGED_JSON)
        part.json = "some" if asked else "none"
        if asked and asked == part.staged:
            part.json = "all"
    return parts


BAD = b"not json"


def line(columns: bytes, config: bytes) -> bytes:
    return b'{%b"request":%b%b}}' % (columns, REQUEST.encode(), config)


JSON = b',"generationConfig":{"responseMimeType":"application/json"}'
COLUMNS = (b"", b'"c":1,', b'"c": [true, null], "d":"x",')


@given(
    told=st.sampled_from([0, 1, 10_000]),
    lines=st.lists(
        st.sampled_from(
            [
                b"",
                b" \t\r",
                BAD,
                *(line(one, config) for one in COLUMNS for config in (b"", JSON)),
            ]
        ),
        max_size=30,
    ),
    times=st.integers(1, 3),
    size=st.integers(1, 2000),
    limits=st.builds(
        Limits, rows=st.integers(1, 20), bytes=st.sampled_from([10, 200, 500, 10**9])
    ),
)
def test_every_line_is_recorded_as_a_slow_reading_finds_it(
    told: int, lines: list[bytes], times: int, size: int, limits: Limits
) -> None:
    lines = lines * times
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "MAX_TOLD", told)
        try:
            found = read(b"\n".join(lines), size, limits)
        except BadRows:
            assert not set(lines) - {b"", b" \t\r", BAD}
            return

    assert found == expected(lines, limits)


def test_what_became_of_many_lines_is_written_as_they_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorded, "MOST_HELD", 100)
    written = bytearray()

    @contextmanager
    def writing(_: str) -> Iterator[Callable[[bytes], None]]:
        yield written.extend

    with Recorded("gs://work/1/requests.jsonl", writing) as found:
        for n in range(100):
            kinds = bytes([Kind.REFUSED, Kind.STAGED] * 50)
            found.add(Piece(0, b"", 50, b"", 100 * n + 1, kinds))
        assert len(written) > 9_000
        found.finish()

    assert (
        list(decoded([bytes(written)])) == [(Kind.REFUSED, 1), (Kind.STAGED, 1)] * 5000
    )


# -- what a job's staging says ---------------------------------------------------------


def content(world: World, uri: str | None) -> bytes:
    assert uri is not None
    with world.storage.open(uri) as file:
        return file.read()


def staging_of(job: Job) -> Staging:
    assert job.staging is not None
    return job.staging


def test_a_file_of_good_lines_without_keys_has_nothing_recorded_beside_it(
    world: World,
) -> None:
    drop = world.upload("\n" + GOOD * 3 + "\n \n")

    world.worker.take(drop)

    staging = staging_of(world.job(drop))
    assert (staging.first, staging.rows, staging.refused, staging.json) == (
        *(2, 3, 0),
        "none",
    )
    assert (staging.lines, staging.sidecar) == (None, None)
    assert world.storage.names(world.traces.folder(drop.job_id)) == [staging.uri]


def test_keys_and_columns_outlive_the_dropped_object(world: World) -> None:
    drop = world.upload(KEYED)
    world.worker.take(drop)

    world.upload(GOOD)
    world.ticks(2)

    job = world.job(drop)
    assert job.phase is Phase.SUBMITTED
    assert content(world, staging_of(job).sidecar) == OWN
    assert staging_of(job).lines is None


def test_blank_and_refused_lines_are_recorded_where_bad_lines_are_left_out(
    world: World,
) -> None:
    world.choose(on_invalid="skip")
    drop = world.upload("\n" + "not json\n" + GOOD * 2 + "\n" + GOOD + "bad\n")

    world.worker.take(drop)

    staging = staging_of(world.job(drop))
    assert (staging.first, staging.rows, staging.refused) == (2, 3, 2)
    assert list(decoded([content(world, staging.lines)])) == [
        (Kind.REFUSED, 1),
        (Kind.STAGED, 2),
        (Kind.BLANK, 1),
        (Kind.STAGED, 1),
        (Kind.REFUSED, 1),
    ]


def test_each_part_records_its_own_lines(world: World) -> None:
    world.choose(part_rows=2, on_invalid="skip")
    one, two, three = KEYED.splitlines(keepends=True)
    drop = world.upload("bad\n" + one + two + "bad\n\nbad\n" + three + "bad\n")

    world.worker.take(drop)

    first, second = map(staging_of, split_job(world, world.job(drop)))
    assert (first.first, first.rows, first.refused) == (1, 2, 3)
    assert list(decoded([content(world, first.lines)])) == [
        (Kind.REFUSED, 1),
        (Kind.STAGED, 2),
        (Kind.REFUSED, 1),
        (Kind.BLANK, 1),
        (Kind.REFUSED, 1),
    ]
    assert (second.first, second.rows, second.refused) == (7, 1, 1)
    assert list(decoded([content(world, second.lines)])) == [
        (Kind.STAGED, 1),
        (Kind.REFUSED, 1),
    ]
    assert content(world, first.sidecar).count(b"\n") == 2
    assert content(world, second.sidecar) == b'{"id":7,"key":"c\\u00e9"}\n'


@pytest.mark.parametrize(
    "point",
    mostly("after_recording", also=["after_staging", "after_prepared"]),
)
def test_a_worker_that_dies_while_it_records_leaves_keys_to_the_next(
    world: World, point: str
) -> None:
    drop = world.upload(KEYED)
    with at(point), pytest.raises(Killed):
        world.worker.take(drop)

    world.until_ended()

    job = world.job(drop)
    assert job.phase is Phase.SUBMITTED
    assert content(world, staging_of(job).sidecar) == OWN


@pytest.mark.parametrize(
    "point", mostly("after_first_part", also=["after_recording", "after_part"])
)
def test_a_worker_that_dies_in_a_split_leaves_each_parts_keys_to_the_next(
    world: World, point: str
) -> None:
    world.choose(part_rows=2)
    drop = world.upload(KEYED)
    with at(point), pytest.raises(Killed):
        world.worker.take(drop)

    world.ticks_until(lambda: world.job(drop).phase is Phase.SPLIT)
    world.ticks(1)

    job = world.job(drop)
    assert job.phase in (Phase.SPLIT, Phase.ENDED)
    own = [content(world, staging_of(part).sidecar) for part in split_job(world, job)]
    assert b"".join(own) == OWN
    assert own[0].count(b"\n") == 2


def test_a_fence_leaves_what_is_recorded(world: World) -> None:
    drop = world.upload(KEYED)
    with at("before_create"), pytest.raises(Killed):
        world.worker.take(drop)

    world.ticks(3, timedelta(minutes=7))

    job = world.job(drop)
    assert staging_of(job).epoch > 1
    assert job.phase is Phase.SUBMITTED
    assert content(world, staging_of(job).sidecar) == OWN


def test_a_rejected_job_leaves_nothing_staged(world: World) -> None:
    drop = world.upload(KEYED)
    world.wire.creates.append(world.wire.says(400))

    world.worker.take(drop)

    assert world.job(drop).phase is Phase.REJECTED
    assert world.storage.names(world.traces.folder(drop.job_id)) == []


def test_a_rejected_part_keeps_what_is_recorded_of_its_rows(world: World) -> None:
    world.choose(part_rows=2, on_invalid="skip")
    drop = world.upload("not json\n" + KEYED + "not json\n")
    world.worker.take(drop)
    world.wire.creates.append(world.wire.says(400))

    world.ticks(1)

    parts = split_job(world, world.job(drop))
    (rejected,) = (part for part in parts if part.phase is Phase.REJECTED)
    staging = staging_of(rejected)
    assert world.storage.names(world.traces.folder(rejected.id)) == [
        staging.sidecar,
        staging.lines,
    ]
    assert content(world, staging.sidecar).count(b"\n") == staging.rows


def test_a_file_rejected_for_its_last_line_leaves_nothing_staged(world: World) -> None:
    world.choose(part_rows=1)
    # So long that the first rows are staged before the last line is read.
    drop = world.upload(KEYED.replace("hello", "hello" * 60_000) + "not json\n")

    world.worker.take(drop)

    job = world.job(drop)
    assert job.phase is Phase.REJECTED
    assert job.parts
    for id in (job.id, *(job.part_id(n) for n in range(4))):
        assert world.storage.names(world.traces.folder(id)) == []


@pytest.mark.parametrize("point", mostly("after_create", also=["after_submitted"]))
def test_a_lost_ledger_finds_what_was_recorded(world: World, point: str) -> None:
    world.choose(on_invalid="skip")
    drop = world.upload("not json\n" + KEYED)
    with at(point), pytest.raises(Killed):
        world.worker.take(drop)
    before = world.storage.names(world.traces.folder(drop.job_id))
    world.advance(timedelta(seconds=30))
    empty_ledger(world)
    world.upload(GOOD)

    reconcile(world)
    world.ticks(1, timedelta(minutes=4))

    staging = staging_of(world.job(drop))
    assert {staging.lines, staging.sidecar} <= set(before)
    assert content(world, staging.sidecar).startswith(b'{"id":2,"key":"007"')
    assert (staging.first, staging.rows, staging.refused) == (1, 3, 1)


def test_a_lost_split_job_finds_what_was_recorded_of_its_parts(world: World) -> None:
    world.choose(part_rows=2)
    drop = world.upload(KEYED)
    world.worker.take(drop)
    world.ticks(1)
    parts = split_job(world, world.job(drop))
    known = [staging_of(part).sidecar for part in parts]
    empty_ledger(world)
    world.upload(GOOD)

    reconcile(world)
    world.ticks(1, timedelta(minutes=4))

    again = split_job(world, world.job(drop))
    assert [staging_of(part).sidecar for part in again] == known
    own = [content(world, staging_of(part).sidecar) for part in again]
    assert b"".join(own) == OWN
