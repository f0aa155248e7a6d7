"""
Many drops at once, while processes die and freeze and everything else misbehaves.

    python -m tests.soak --drops 200 --seconds 300 --seed 7 [--outages] [--json]

For `seconds` files are dropped and harm is done, both as the seed says; then all is
left to come to its end, and the promise is checked for every drop. With `--outages`
Pub/Sub fails as well: it is away, its answers are lost, or it takes longer than a
tick; two schedules call `poll` at the same moments, now and then twice; ticks overlap;
jobs stall, which gives them more to announce; and what was announced is replayed.

Prints what was found, as one JSON object on the last line if so wished; the exit
status is 1 if a promise broke.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil

from batchdrop.records import Drop
from batchdrop_local import emulators
from batchdrop_local.processes import Logs, Processes, free_port
from tests.exactly_once.lane import BACKENDS, LOSSY, STORMY, Lane
from tests.exactly_once.outages import State
from tests.exactly_once.promise import (
    Evidence,
    breaches,
    disorder,
    gathered,
    is_paid,
)
from tests.exactly_once.scenarios import GOOD
from tests.waiting import until

#: All that a request or a list may do to us. A list lags by less than SETTLE.
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
STALLED = "dev.batchdrop.job.stalled.v1"
WRITES = ("arrived", "prepared", "submitting", "submitted", "ended", "published")
#: An outage of Pub/Sub lasts no longer: that is longer than a publish is waited for,
#: and that is longer than a tick.
LONGEST_OUTAGE = 12.0
#: Of the drops, so many are files with a bad line.
BAD = 0.1
#: Of so many drops one comes in parts, and one is a manifest with requests in it.
IN_PARTS, INLINED = 6, 8
#: Of the harm, so much is what `--outages` adds.
OUTAGES = 0.4
#: Seconds from one harm to the next, on average.
HARM_EVERY = 0.5


@dataclass
class Soak:
    """One run: what was dropped, and what is to be undone later."""

    lane: Lane
    chance: random.Random
    outages: bool = False
    drops: dict[Drop, str] = field(default_factory=dict)  #: and how each is to end
    harm: Counter[str] = field(default_factory=Counter)
    frozen: list[tuple[float, psutil.Process]] = field(default_factory=list)
    outage_until: float | None = None

    def run(self, drops: int, seconds: float) -> None:
        """Drops and does harm for so long."""
        self.longest_outage = min(LONGEST_OUTAGE, seconds / 3)
        if self.outages:
            self.lane.pace(queue_seconds=1.2, run_seconds=1.5)
        start = time.monotonic()
        plan: list[tuple[float, Callable[[], None]]] = [
            (self.chance.uniform(0, seconds), self._drop) for _ in range(drops)
        ]
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
        self.lane.forgive()
        with contextlib.suppress(AssertionError):  # what is missing is told later
            until(self._is_over, patience, every=0.5)

    def _is_over(self) -> bool:
        return all(one.is_over for one in self._evidence())

    def _evidence(self) -> list[Evidence]:
        """What there is about each drop."""
        everything = (
            self.lane.all_jobs(),
            self.lane.all_batches(),
            self.lane.all_announcements(),
            self.lane.all_messages(),
        )
        return [gathered(drop, *everything) for drop in self.drops]

    # -- what is done -----------------------------------------------------------

    def _drop(self) -> None:
        bad = self.chance.random() < BAD
        text = GOOD * self.chance.randint(1, 20) + ("not json\n" if bad else "")
        name = f"{len(self.drops):04}-{self.chance.getrandbits(32):08x}.jsonl"
        n = len(self.drops) + 1
        if n % IN_PARTS == 0:
            text, name = text[-len(GOOD) * 2 :], f"parts/{name}"
        elif n % INLINED == 0:
            lines = [json.loads(line) for line in text.splitlines()[: -bad or None]]
            text = json.dumps({"src": [*lines, *(["no request"] if bad else [])]})
            name = name.replace(".jsonl", ".job.json")
        self.drops[self.lane.drop(text, name)] = "rejected" if bad else "succeeded"

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
            self.lane.pubsub.become(State.OPEN)

    def _break(self) -> None:
        """Pub/Sub is away, mute, deaf or slow for a while."""
        if self.outage_until is not None:
            return
        state = self.chance.choice([state for state in State if state != State.OPEN])
        self.harm[f"Pub/Sub {state.value}"] += 1
        self.lane.pubsub.become(state)
        lasting = self.chance.uniform(0.5, self.longest_outage)
        self.outage_until = time.monotonic() + lasting

    def _replay(self) -> None:
        """Somebody has a job's announcements sent once more."""
        if self.drops:
            self.harm["replays"] += 1
            self.lane.replay(self.chance.choice(list(self.drops)))

    def _fault(self) -> None:
        self.harm["faults"] += 1
        rule = self.chance.choice(FAULTS)
        self.lane.fault({**rule, "count": self.chance.randint(1, 3)})

    def _lose(self) -> None:
        self.harm["lost commits"] += 1
        codes = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        self.lane.commits.lose(self.chance.choice(WRITES), self.chance.choice(codes))

    def _repeat(self) -> None:
        """An event once more, at once or much later."""
        if not self.drops:
            return
        drop = self.chance.choice(list(self.drops))
        self.harm["repeats"] += 1
        with contextlib.suppress(httpx.TransportError):
            self.lane.deliver(drop)

    def _somebody(self, servers: bool) -> psutil.Process | None:
        pids = [
            pid
            for server, *workers in filter(None, self.lane.stack.pids.values())
            for pid in ([server] if servers else workers)
        ]
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.chance.choice(pids)) if pids else None
        return None

    # -- what became of it ------------------------------------------------------

    def found(self) -> dict[str, Any]:
        """The counts, and what is broken."""
        broken, paid, kept, announced, ends = [], 0, 0, set(), 0
        families, parts = 0, 0
        jobs, all_batches = self.lane.all_jobs(), self.lane.all_batches()
        for evidence in self._evidence():
            answers = self.lane.answers(evidence.drop)
            each = (evidence, *evidence.parts)
            stalled = any(one["type"] == STALLED for job in each for one in job.outbox)
            broken += breaches(
                replace(evidence, answers=answers),
                self.drops[evidence.drop],
                also=["stalled"] if stalled else [],
            )
            families += bool(evidence.parts)
            parts += len(evidence.parts)
            for one in each:
                paid += sum(map(is_paid, one.batches))
                recorded = ((one.job or {}).get("batch") or {}).get("name")
                kept += any(batch["name"] == recorded for batch in one.batches)
            announced |= {m.attributes["ce-id"] for one in each for m in one.messages}
            ends += any(m.attributes["ce-type"] != STALLED for m in evidence.messages)
        everything = self.lane.all_messages()
        broken += disorder(everything)
        dropped = {drop.job_id for drop in self.drops}
        if strangers := {
            id for id, job in jobs.items() if (job["part_of"] or id) not in dropped
        }:
            broken.append(f"jobs of no drop: {', '.join(sorted(strangers))}")
        return {
            "drops": len(self.drops),
            "jobs": len(jobs) - parts,
            "families": families,
            "parts": parts,
            "batches": len(all_batches),
            "kept": kept,
            "paid": paid,
            "duplicates_cancelled": sum(
                batch["state"] == "JOB_STATE_CANCELLED" for batch in all_batches
            ),
            "ends": ends,
            "announcements": len(announced),
            "messages": len(everything),
            "overlaps": self.lane.overlaps(),
            "resumed": sum(job["lease"]["epoch"] > 1 for job in jobs.values()),
            "rejected": sum(end == "rejected" for end in self.drops.values()),
            "harm": dict(self.harm),
            "broken": broken,
        }


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--drops", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backend", choices=BACKENDS, default="vertex")
    parser.add_argument("--outages", action="store_true")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    settings = STORMY if chosen.outages else LOSSY
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="batchdrop-soak-") as folder:
        directory = Path(folder)
        with (
            running(emulators.FIRESTORE, directory / "firestore") as firestore,
            running(emulators.PUBSUB, directory / "pubsub"),
            Lane(directory, (chosen.backend, settings), firestore) as lane,
        ):
            soak = Soak(lane, random.Random(chosen.seed), chosen.outages)
            soak.run(chosen.drops, chosen.seconds)
            soak.settle(patience=60 + chosen.drops / 4)
            found = soak.found()
    for name, value in found.items():
        if name != "broken":
            print(f"{name:22} {value}")
    for what in found["broken"]:
        print(f"BROKEN: {what}")
    if chosen.json:
        print(json.dumps(found))
    return 1 if found["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
