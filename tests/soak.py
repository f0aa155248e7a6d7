"""
Many drops at once, while processes die and freeze and everything else misbehaves.

    python -m tests.soak --drops 200 --seconds 300 --seed 7 --hostile [--json]
    python -m tests.soak --drops 120 --seconds 180 --outages [--json]

For `seconds` files are dropped and harm is done, both as the seed says; then all is
left to come to its end, and the promise is checked for every drop. With `--outages`
Pub/Sub fails as well: it is away, its answers are lost, or it takes longer than a
tick; two schedules call `poll` at the same moments, now and then twice; ticks overlap;
jobs stall, which gives them more to announce; and what was announced is replayed.

The answers of all good files are collected: each row has one result, in the file's
order and under its own key, lines that can't be sent included, and the counts add up.
Some rows fail for a passing reason and go again. A row with an answer never does.

With `--hostile` one drop in five is a file of `tests/hostile.py`, and events come of
which no job can be made. Each must end as is written there. Nothing that a deployment
says may have what such a file holds, and no function may take more than MEMORY. And no
good file may wait for them. How long a good file usually takes is measured just before
in the same run: as many good ones in as many seconds, among the same harm, until all
are announced. Both last equally long, as on a busy machine drops queue up. Then, of the
files dropped among hostile ones, from the upload to the first message that says how it
ended,

    none               takes longer than SLOWER times what the slowest took before
    k of a hundred     are announced within SLOWER times what k of a hundred took
                       before, for each k from 1 to 99

A kill or a freeze makes a file slow by chance, so that no file is compared with itself
in another run, but all in their order with all. Where a file took less than SOON, it
counts as SOON: there the machine's load decides.

Prints what was found, as one JSON object on the last line if so wished; the exit
status is 1 if a promise broke, or a good file waited too long.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil

from batchdrop.jobs.values import Drop
from batchdrop_local import emulators
from batchdrop_local.processes import Logs, Processes, free_port
from tests.exactly_once.costs import unequal_costs
from tests.exactly_once.outages import State
from tests.exactly_once.promise import (
    Evidence,
    breaches,
    disorder,
    gathered,
    is_paid,
)
from tests.exactly_once.scenarios import GOOD, keyed
from tests.exactly_once.track import BACKENDS, LOSSY, STORMY, Track
from tests.hostile import CANARY, EVENTS, FILES
from tests.waiting import until

#: All that a request or a list may do to us. A list lags by less than LIST_LAG.
FAULTS: tuple[dict[str, Any], ...] = (
    {"fault": "drop_reply", "op": "create"},
    {"fault": "reset", "op": "create"},
    {"fault": "rate_limited", "op": "create"},
    {"fault": "internal", "op": "create"},
    {"fault": "unavailable", "op": "create"},
    {"fault": "slow", "op": "create", "seconds": 2.5},
    {"fault": "internal", "op": "list"},
    {"fault": "reset", "op": "list"},
    {"fault": "internal", "op": "get"},
    {"fault": "list_stale", "seconds": 0.3},
    {"fault": "list_lagging", "seconds": 0.3},
    {"fault": "list_out_of_order"},
    {"fault": "list_empty_page"},
)
#: What a deployment makes of a file that chooses nothing, hostile ones too.
ENV = {"BATCHDROP_RESULTS": "on"}
STALLED = "dev.batchdrop.job.stalled.v1"
WRITES = (
    *("arrived", "prepared", "submitting", "submitted", "ended"),
    *("gathered", "collected", "published"),
)
#: An outage of Pub/Sub lasts no longer: that is longer than a publish is waited for,
#: and that is longer than a tick.
LONGEST_OUTAGE = 12.0
#: Of the drops, so many are rejected for a bad line; and of the others, so many have
#: one that is left out.
BAD, SKIPPED = 0.1, 0.3
#: Of the good drops with keys, so many have rows that fail; and of these rows, so many.
#: Some fail again when they go again.
FAILING, FAILING_ROWS = 0.3, 0.2
#: Of so many drops one comes in parts, and one is a manifest with requests in it.
IN_PARTS, INLINED = 6, 8
#: Of the harm, so much is what `--outages` adds.
OUTAGES = 0.4
#: Seconds from one harm to the next, on average.
HARM_EVERY = 0.5
#: Of the drops with `--hostile`, so many are hostile files; and so many events come for
#: each of them.
HOSTILE, EVENTS_EACH = 0.2, 0.5
#: So many times its usual time a good file may take among hostile ones.
SLOWER = 2.0
#: Seconds: two calls of `poll`, and the time that a batch takes.
SOON = 3.0
#: Bytes that a function may take: its server and a worker together.
MEMORY = 512 * 2**20
#: Seconds from one look at the processes' memory to the next.
LOOK_EVERY = 0.1
#: An event is sent so often until somebody answers, as Eventarc does for a day.
SENT = 30


class Peaks:
    """The most memory that each function took while this was entered."""

    def __init__(self, track: Track) -> None:
        self._track = track
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peaks")
        self._most: dict[str, list[int]] = {}  #: a server's, and a worker's

    def __enter__(self) -> "Peaks":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    @property
    def bytes(self) -> dict[str, int]:
        """By function, of a server and a worker together, what both share twice."""
        return {name: sum(most) for name, most in self._most.items()}

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_EVERY):
            for name, pids in self._track.stack.pids.items():
                most = self._most.setdefault(name, [0, 0])
                for n, pid in enumerate(pids):
                    role = min(n, 1)
                    most[role] = max(most[role], peak(pid))


def peak(pid: int) -> int:
    """The most bytes that a process has had in memory; 0 if it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


@dataclass
class Soak:
    """One run: what was dropped, and what is to be undone later."""

    track: Track
    chance: random.Random
    outages: bool = False
    drops: dict[Drop, str] = field(default_factory=dict)  #: and how each is to end
    dropped_at: dict[Drop, float] = field(default_factory=dict)
    hostile: dict[Drop, str] = field(default_factory=dict)  #: by its key in FILES
    #: What is still to be drawn before a kind comes once more.
    kinds: list[str] = field(default_factory=list)
    events: list[tuple[str, str, "Future[int]"]] = field(default_factory=list)
    harm: Counter[str] = field(default_factory=Counter)
    frozen: list[tuple[float, psutil.Process]] = field(default_factory=list)
    outage_until: float | None = None
    senders: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))

    def run(self, drops: int, seconds: float, hostile: int = 0) -> None:
        """Drops and does harm for so long; so many of the drops are hostile."""
        self.longest_outage = min(LONGEST_OUTAGE, seconds / 3)
        if self.outages:
            self.track.pace(queue_seconds=1.2, run_seconds=1.5)
        start = time.monotonic()
        plan: list[tuple[float, Callable[[], None]]] = [
            (self.chance.uniform(0, seconds), self._drop)
            for _ in range(drops - hostile)
        ]
        for act, often in (
            (self._drop_hostile, hostile),
            (self._send, round(hostile * EVENTS_EACH)),
        ):
            plan += [(self.chance.uniform(0, seconds), act) for _ in range(often)]
        kinds = (self._kill, self._freeze, self._fault, self._repeat, self._lose)
        for _ in range(round(seconds / HARM_EVERY)):
            harm = self.chance.choices(kinds, weights=(3, 2, 5, 4, 2))[0]
            if self.outages and self.chance.random() < OUTAGES:
                harm = self.chance.choice((self._break, self._replay))
            plan.append((self.chance.uniform(0, seconds), harm))
        for at, act in sorted(plan, key=lambda one: one[0]):
            while (left := start + at - time.monotonic()) > 0:
                time.sleep(min(left, 0.05))
                self._wake(time.monotonic())
            act()

    def settle(self, patience: float) -> None:
        """Does no more harm, and waits until everything has come to its end."""
        self._wake(float("inf"))
        self.track.forgive(rows=False)
        with contextlib.suppress(AssertionError):  # what is missing is told later
            # Seldom: it reads all documents, and workers write through this process.
            until(self._is_over, patience, every=3)
        for _, _, answered in self.events:
            answered.result()

    def _is_over(self) -> bool:
        return all(one.is_over for one in self._evidence())

    def _evidence(self) -> list[Evidence]:
        """What there is about each drop."""
        everything = (
            self.track.all_jobs(),
            self.track.all_batches(),
            self.track.all_announcements(),
            self.track.all_messages(),
        )
        return [gathered(drop, *everything) for drop in self.drops]

    # -- what is done -----------------------------------------------------------

    def _drop(self) -> None:
        bad = self.chance.random() < BAD
        skipped = not bad and self.chance.random() < SKIPPED
        word = f"{len(self.drops):04}-{self.chance.getrandbits(32):08x}"
        folder, suffix = "" if bad else "collected/", ".jsonl"
        n, rows = len(self.drops) + 1, self.chance.randint(3, 60)
        lines = keyed(word, rows).splitlines()
        if n % IN_PARTS == 0:
            folder, lines = f"{folder}parts/", lines[:6]
        elif n % INLINED == 0:
            suffix, lines = ".job.json", (GOOD * 20).splitlines()[:rows]
        if bad or (skipped and suffix == ".jsonl"):
            # A JSON string: no line of a file, and no row of a manifest.
            lines.insert(self.chance.randint(1, len(lines)), '"no request"')
        text = "".join(f"{line}\n" for line in lines)
        if suffix == ".job.json":
            text = f'{{"src": [{", ".join(lines)}]}}'
        elif not bad and self.chance.random() < FAILING:
            self._fail_rows(lines)
        at = time.monotonic()
        drop = self.track.drop(text, f"{folder}{word}{suffix}")
        self.drops[drop] = "rejected" if bad else "succeeded"
        self.dropped_at[drop] = at

    def _fail_rows(self, lines: Sequence[str]) -> None:
        for line in lines:
            if line.startswith("{") and self.chance.random() < FAILING_ROWS:
                match = {"row_text": f'say {json.loads(line)["key"]}"'}
                rule = {"fault": "row_failed", "code": 503, "match": match}
                self.track.fault({**rule, "count": self.chance.randint(1, 2)})

    def _drop_hostile(self) -> None:
        """Each kind once, in any order, before one comes again."""
        if not self.kinds:
            self.kinds = list(FILES)
            self.chance.shuffle(self.kinds)
        kind = self.kinds.pop()
        file = FILES[kind]
        name = f"{len(self.drops):04}-hostile-{file.name}{file.suffix}"
        drop = self.track.drop(file.data(), name, file.metadata)
        self.drops[drop] = "succeeded" if file.end == "ended" else "rejected"
        self.hostile[drop] = kind

    def _send(self) -> None:
        """An event that is no drop."""
        kind = self.chance.choice(list(EVENTS))
        id = uuid.uuid4().hex
        self.events.append((kind, id, self.senders.submit(self._until_ok, kind, id)))

    def _until_ok(self, kind: str, id: str) -> int:
        """The status of the first answer that somebody gives."""
        for _ in range(SENT):
            with contextlib.suppress(httpx.TransportError):
                return self.track.send(EVENTS[kind], id, "x.jsonl")
            time.sleep(0.5)
        return 0

    def _kill(self) -> None:
        """`kill -9`, mostly of a worker, now and then of the server above it."""
        process = self._somebody(servers=self.chance.random() < 0.2)
        if process is not None:
            self.harm["kills"] += 1
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _freeze(self) -> None:
        """For less than a lease, or for longer than one."""
        process = self._somebody(servers=False)
        if process is None or any(process == one for _, one in self.frozen):
            return
        self.harm["freezes"] += 1
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
            until = time.monotonic() + self.chance.uniform(0.5, 8)
            self.frozen.append((until, process))

    def _wake(self, now: float) -> None:
        for until_, process in self.frozen[:]:
            if until_ <= now:
                self.frozen.remove((until_, process))
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()
        if self.outage_until is not None and self.outage_until <= now:
            self.outage_until = None
            self.track.pubsub.become(State.OPEN)

    def _break(self) -> None:
        """Pub/Sub is away, mute, deaf or slow for a while."""
        if self.outage_until is not None:
            return
        state = self.chance.choice([state for state in State if state != State.OPEN])
        self.harm[f"Pub/Sub {state.value}"] += 1
        self.track.pubsub.become(state)
        lasting = self.chance.uniform(0.5, self.longest_outage)
        self.outage_until = time.monotonic() + lasting

    def _replay(self) -> None:
        """Somebody has a job's announcements sent once more."""
        if self.drops:
            self.harm["replays"] += 1
            self.track.replay(self.chance.choice(list(self.drops)))

    def _fault(self) -> None:
        self.harm["faults"] += 1
        rule = self.chance.choice(FAULTS)
        self.track.fault({**rule, "count": self.chance.randint(1, 3)})

    def _lose(self) -> None:
        self.harm["lost commits"] += 1
        codes = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        self.track.commits.lose(self.chance.choice(WRITES), self.chance.choice(codes))

    def _repeat(self) -> None:
        """An event once more, at once or much later."""
        if not self.drops:
            return
        drop = self.chance.choice(list(self.drops))
        self.harm["repeats"] += 1
        with contextlib.suppress(httpx.TransportError):
            self.track.deliver(drop)

    def _somebody(self, servers: bool) -> psutil.Process | None:
        pids = [
            pid
            for server, *workers in filter(None, self.track.stack.pids.values())
            for pid in ([server] if servers else workers)
        ]
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.chance.choice(pids)) if pids else None
        return None

    # -- what became of it ------------------------------------------------------

    def seconds(self) -> list[float]:
        """How long each good drop took until its end was announced, fastest first."""
        heard: dict[str, float] = {}
        for message in self.track.all_messages():
            said = message.attributes
            if said["ce-type"] != STALLED:
                at = self.track.heard_at[said["ce-id"]]
                heard[said["job_id"]] = min(at, heard.get(said["job_id"], at))
        return sorted(
            heard[drop.job_id] - at
            for drop, at in self.dropped_at.items()
            if drop.job_id in heard
        )

    def evaded(self) -> list[str]:
        """What is wrong with what became of hostile files and events."""
        wrong = []
        jobs = self.track.all_jobs()
        for drop, kind in self.hostile.items():
            job = jobs.get(drop.job_id) or {"phase": "unknown", "error": None}
            end = job["error"]["code"] if job["error"] else job["phase"]
            if end != FILES[kind].end:
                wrong.append(f"{kind}: {end}, and not {FILES[kind].end}")
        logs = {
            name: self.track.stack.log(name).read_text(errors="replace")
            for name in self.track.stack.pids
        }
        for kind, id, answered in self.events:
            # Lines of two processes may stand in one.
            logged = f'"event_id": "{id}"' in logs["on_upload"]
            if (status := answered.result()) != 200 or not logged:
                told = "logged" if logged else "not logged"
                wrong.append(f"an event with {kind}: {status}, {told}")
        said = logs | {
            "documents": repr(list(jobs.values())),
            "announcements": repr(self.track.all_messages()),
        }
        wrong += [f"the {name} tell {CANARY}" for name in said if CANARY in said[name]]
        return wrong

    def found(self) -> dict[str, Any]:
        """The counts, and what is broken."""
        broken, paid, kept, announced, ends = [], 0, 0, set(), 0
        split_jobs, parts, rounds, results, result_lines = 0, 0, 0, 0, 0
        jobs, all_batches = self.track.all_jobs(), self.track.all_batches()
        for evidence in self._evidence():
            answers = self.track.answers(evidence.drop)
            published = self.track.results(evidence.drop)
            results += len(published)
            result_lines += sum(one.text.count("\n") for one in published)
            senders = (evidence, *evidence.parts)
            sent = [one for sender in senders for one in sender.rounds]
            rounds += len(sent)
            each = (*senders, *sent)
            stalled = any(one["type"] == STALLED for job in each for one in job.outbox)
            broken += breaches(
                replace(evidence, answers=answers, results=published),
                self.drops[evidence.drop],
                also=["stalled"] if stalled else [],
                collected=evidence.drop.name.startswith("collected/"),
            )
            split_jobs += bool(evidence.parts)
            parts += len(evidence.parts)
            for one in each:
                paid += sum(map(is_paid, one.batches))
                recorded = ((one.job or {}).get("batch") or {}).get("name")
                kept += any(batch["name"] == recorded for batch in one.batches)
            announced |= {m.attributes["ce-id"] for one in each for m in one.messages}
            ends += any(m.attributes["ce-type"] != STALLED for m in evidence.messages)
        everything = self.track.all_messages()
        broken += disorder(everything)
        costs = self.track.all_costs()
        broken += unequal_costs(jobs.values(), costs)
        dropped = {drop.job_id for drop in self.drops}
        if strangers := {
            id for id, job in jobs.items() if _root_of(jobs, id) not in dropped
        }:
            broken.append(f"jobs of no drop: {', '.join(sorted(strangers))}")
        return {
            "drops": len(self.drops),
            "jobs": len(jobs) - parts - rounds,
            "split_jobs": split_jobs,
            "parts": parts,
            "rounds": rounds,
            "rows_healed": sum(
                one["healed"] for job in jobs.values() for one in job["rounds"]
            ),
            "batches": len(all_batches),
            "kept": kept,
            "paid": paid,
            "duplicates_cancelled": sum(
                batch["state"] == "JOB_STATE_CANCELLED" for batch in all_batches
            ),
            "ends": ends,
            "results": results,
            "result_lines": result_lines,
            "costs": len(costs),
            "micros": sum(one["micros"] or 0 for one in costs),
            "announcements": len(announced),
            "messages": len(everything),
            "overlaps": self.track.overlaps(),
            "resumed": sum(job["lease"]["epoch"] > 1 for job in jobs.values()),
            "rejected": sum(end == "rejected" for end in self.drops.values()),
            "hostile": len(self.hostile),
            "hostile_events": len(self.events),
            "harm": dict(self.harm),
            "broken": broken,
        }


def _root_of(jobs: Mapping[str, dict[str, Any]], id: str) -> str:
    """The job of the drop that a job is made of."""
    whose = jobs[id]["retry_of"] or id
    return (jobs[whose]["part_of"] if whose in jobs else None) or whose


@contextlib.contextmanager
def running(emulator: emulators.Emulator, logs: Path) -> Iterator[str]:
    """An emulator's address, in the environment as well; the one there, if any."""
    address = emulators.named(emulator)
    with Processes(Logs(logs)) as processes:
        if address is None:
            port = free_port()
            emulators.start(emulator, processes, port).wait_until_ready()
            address = os.environ[emulator.variable] = f"127.0.0.1:{port}"
        yield address


def slowed(usual: Sequence[float], among: Sequence[float]) -> list[str]:
    """Where drops among hostile files took too long; see the rule above."""
    before, now = quantiles(usual), quantiles(among)
    wrong = []
    for percent, (was, took) in enumerate(zip(before, now, strict=True), start=1):
        if took > SLOWER * max(was, SOON):
            wrong.append(f"{percent} % took {took:.1f} s, and {was:.1f} s before")
    if among[-1] > SLOWER * max(usual[-1], SOON):
        wrong.append(
            f"the slowest took {among[-1]:.1f} s, and {usual[-1]:.1f} s before"
        )
    return wrong


def quantiles(values: Sequence[float]) -> list[float]:
    """Up to the k-th of a hundred, for each k from 1 to 99."""
    return statistics.quantiles(values, n=100, method="inclusive")


def shown(seconds: Sequence[float]) -> dict[str, float]:
    """Of some times, what people compare."""
    each = quantiles(seconds)
    figures = {"median": each[49], "90 %": each[89], "slowest": seconds[-1]}
    return {name: round(value, 1) for name, value in figures.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--drops", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backend", choices=BACKENDS, default="vertex")
    parser.add_argument("--outages", action="store_true")
    parser.add_argument("--hostile", action="store_true")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    settings = STORMY if chosen.outages else LOSSY
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="batchdrop-soak-") as folder:
        directory = Path(folder)
        with (
            running(emulators.FIRESTORE, directory / "firestore") as firestore,
            running(emulators.PUBSUB, directory / "pubsub"),
            Track(directory, (chosen.backend, settings), firestore, ENV) as track,
            Peaks(track) as peaks,
        ):
            soak = Soak(track, random.Random(chosen.seed), chosen.outages)
            patience, usual, hostile = 60 + chosen.drops, [], 0
            if chosen.hostile:
                hostile = round(chosen.drops * HOSTILE)
                soak.run(chosen.drops - hostile, chosen.seconds)
                soak.settle(patience)
                usual = soak.seconds()
                soak.dropped_at.clear()
            soak.run(chosen.drops, chosen.seconds, hostile)
            soak.settle(patience)
            found = soak.found()
            found["memory_mb"] = {n: b // 2**20 for n, b in peaks.bytes.items()}
            if chosen.hostile:
                among = soak.seconds()
                found |= {"usual": shown(usual), "among_hostile": shown(among)}
                found["slowed"] = slowed(usual, among)
                found["broken"] += [
                    *soak.evaded(),
                    *(f"{n} took {b:,}" for n, b in peaks.bytes.items() if b > MEMORY),
                ]
    told = {"broken": "BROKEN", "slowed": "SLOWED"}
    for name, value in found.items():
        if name not in told:
            print(f"{name:22} {value}")
    wrong = [f"{told[name]}: {what}" for name in told for what in found.get(name, ())]
    print("\n".join(wrong))
    if chosen.json:
        print(json.dumps(found))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
