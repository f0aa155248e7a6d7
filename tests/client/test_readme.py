"""The first Python of the README and of the client's page runs as it stands."""

import re
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials

from batchsim import BatchSim
from tests.client.buckets import Bucket

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["README.md", "docs/reference/client.md"])
def test_its_loop_says_why_a_row_has_no_text(
    page: str, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    found = re.search(
        r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL
    )
    assert found
    code = (
        found[1]
        .replace("gs://b/", bucket.uri(""))
        .replace('location="us-central1"', 'location="us-central1", **stand_in')
    )
    rows = [
        f'{{"key":"{key}","request":{{"contents":[{{"role":"user","parts":'
        f'[{{"text":"{key} please"}}]}}]}}}}\n'
        for key in ("answered", "blocked", "failed")
    ]
    bucket.put("requests.jsonl", "".join(rows).encode())

    with BatchSim(
        speed=0, queue_seconds=0, run_seconds=0, model=lambda _: "Hello."
    ) as sim:
        sim.faults.add("row_blocked", match={"row_text": "blocked"})
        sim.faults.add("row_failed", code=500, match={"row_text": "failed"})
        options = {"base_url": sim.url}
        stand_in = {"credentials": AnonymousCredentials(), "http_options": options}
        exec(code, {"stand_in": stand_in})

    lines = capsys.readouterr().out.splitlines()
    printed = dict(line.split(" ", 1) for line in lines if " " in line)
    assert printed["answered"] == "Hello."
    assert printed["blocked"] == "PROHIBITED_CONTENT"
    assert "Internal error encountered." in printed["failed"]
