"""How big: 10,000 jobs, and a file of 200,000 rows that is never in memory."""

import http.client
import json
import subprocess
import sys
import time
from contextlib import closing

import pytest

from tests.batchsim.drive import JOBS, Bucket, Vertex

JOB_COUNT = 10_000
ROW_COUNT = 200_000


@pytest.mark.proof
def test_ten_thousand_jobs_are_held_listed_and_counted(vertex: Vertex) -> None:
    body = json.dumps(vertex.body(labels={"batch": "all"})).encode()
    address = vertex.sim.url.removeprefix("http://")
    # Python's own client: a request of httpx takes longer than batchsim's answer.
    with closing(http.client.HTTPConnection(address)) as connection:
        for _ in range(JOB_COUNT):
            connection.request("POST", JOBS, body)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()

    began = time.monotonic()
    names = {job["name"] for job in vertex.all(filter="labels.batch=all")}
    took = time.monotonic() - began
    none = vertex.all(filter='state="JOB_STATE_FAILED"')

    assert len(names) == JOB_COUNT
    assert none == []
    assert took < 10


HUGE = f"""
import sys, threading, time
import psutil
from batchsim import BatchSim

# The system's own peak would include the process that this one was forked from.
most = 0
def watch():
    global most
    while True:
        most = max(most, psutil.Process().memory_info().rss / 2**20)
        time.sleep(0.02)
threading.Thread(target=watch, daemon=True).start()

with BatchSim(speed=0, storage=sys.argv[1]) as sim:
    import httpx
    http = httpx.Client(base_url=sim.url, timeout=300)
    # A small job first: then libraries and clients are in memory from the start.
    for source in ("small", "huge"):
        before = most
        body = {{
            "displayName": source,
            "model": "publishers/google/models/gemini-3.8-flash",
            "inputConfig": {{
                "instancesFormat": "jsonl",
                "gcsSource": {{"uris": [f"gs://{{sys.argv[2]}}/{{source}}.jsonl"]}},
            }},
            "outputConfig": {{
                "predictionsFormat": "jsonl",
                "gcsDestination": {{"outputUriPrefix": f"gs://{{sys.argv[2]}}/out"}},
            }},
        }}
        path = "{JOBS}"
        name = http.post(path, json=body).json()["name"]
        began = time.monotonic()
        sim.clock.advance(hours=1)
        job = http.get(f"/v1/{{name}}").json()
        stats = job["completionStats"]["successfulCount"]
        took = time.monotonic() - began
        print(job["state"], stats, round(most - before), round(took, 1))
"""


@pytest.mark.proof
def test_a_file_of_200_000_rows_is_run_without_holding_it_in_memory(
    storage_emulator: str, bucket: Bucket
) -> None:
    text = "Summarise this. " * 12
    contents = [{"role": "user", "parts": [{"text": text}]}]
    request = json.dumps({"contents": contents})
    lines = [f'{{"key":"k{n}","request":{request}}}\n' for n in range(ROW_COUNT)]
    bucket.put(lines[0], "small.jsonl")
    bucket.put("".join(lines), "huge.jsonl")

    ran = subprocess.run(
        [sys.executable, "-c", HUGE, storage_emulator, bucket.name],
        capture_output=True,
        text=True,
        timeout=110,
    )

    assert ran.returncode == 0, ran.stderr
    small, huge = (line.split() for line in ran.stdout.splitlines())
    assert small[:2] == ["JOB_STATE_SUCCEEDED", "1"]
    assert huge[:2] == ["JOB_STATE_SUCCEEDED", str(ROW_COUNT)]
    # The input has 54 MB and the answers 150 MB; both pass through chunks of 16 MB.
    assert int(huge[2]) < 75, ran.stdout
