"""Clients of batchsim for its tests, and what they find in buckets afterwards."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx

import batchsim
from batchsim import BatchSim

Json = dict[str, Any]

PARENT = "projects/my-project/locations/us-central1"
JOBS = f"/v1/{PARENT}/batchPredictionJobs"
GEMINI = "publishers/google/models/gemini-3.8-flash"

#: One client for all tests: creating one takes ten times as long as using it.
http = httpx.Client(trust_env=False, timeout=30)


def row(text: str = "hello", **beside: Any) -> Json:
    """A Vertex line for Gemini."""
    contents = [{"role": "user", "parts": [{"text": text}]}]
    return {**beside, "request": {"contents": contents}}


def rows(count: int) -> list[Json]:
    return [row(f"row {n}", key=f"k{n}") for n in range(count)]


def vertex_body(bucket: str, source: str | None = None) -> Json:
    """A create request. Its source is `in.jsonl` in the bucket by default."""
    return {
        "displayName": "my job",
        "model": GEMINI,
        "inputConfig": {
            "instancesFormat": "jsonl",
            "gcsSource": {"uris": [source or f"gs://{bucket}/in.jsonl"]},
        },
        "outputConfig": {
            "predictionsFormat": "jsonl",
            "gcsDestination": {"outputUriPrefix": f"gs://{bucket}/out"},
        },
    }


def answer_text(line: Json) -> str:
    """The text of a Gemini answer."""
    return str(line["response"]["candidates"][0]["content"]["parts"][0]["text"])


class Bucket(batchsim.Bucket):
    """A bucket of the emulator for one test."""

    def delete(self, name: str) -> None:
        self.bucket.blob(name).delete()

    def text(self, name: str) -> str:
        return self.read(name).decode()

    def answers(self, job: Json) -> list[Json]:
        """The lines of a job's predictions, in the order of the file."""
        return self.lines(job["outputInfo"]["gcsOutputDirectory"])


@dataclass
class Vertex:
    """The Vertex API of a simulator, over plain HTTP."""

    sim: BatchSim
    bucket: Bucket

    def body(self, source: str | None = None, **changes: Any) -> Json:
        return {**vertex_body(self.bucket.name, source), **changes}

    def create(self, lines: Iterable[Json] | str | None = None, **changes: Any) -> Json:
        """Creates a job from `lines`; returns the answer."""
        source = None if lines is None else self.bucket.put(lines)
        return self.post(JOBS, self.body(source, **changes))

    def run(self, lines: Iterable[Json] | str | None = None, **changes: Any) -> Json:
        """Runs a job of `lines` to its end; returns the ended job."""
        name = self.create(lines, **changes)["name"]
        self.sim.clock.advance(hours=80)
        return self.get(name)

    def get(self, name: str) -> Json:
        return self._json(http.get(f"{self.sim.url}/v1/{name}"))

    def page(self, **query: Any) -> Json:
        return self._json(http.get(self.sim.url + JOBS, params=query))

    def all(self, **query: Any) -> list[Json]:
        """All pages."""
        found: list[Json] = []
        token = ""
        while True:
            page = self.page(**query, pageToken=token)
            found += page.get("batchPredictionJobs", [])
            token = page.get("nextPageToken", "")
            if not token:
                return found

    def names(self, **query: Any) -> list[str]:
        """The display names of all jobs in a list, sorted."""
        return sorted(job["displayName"] for job in self.all(**query))

    def cancel(self, name: str) -> httpx.Response:
        return http.post(f"{self.sim.url}/v1/{name}:cancel")

    def delete(self, name: str) -> httpx.Response:
        return http.delete(f"{self.sim.url}/v1/{name}")

    def post(self, path: str, body: Json) -> Json:
        return self._json(http.post(self.sim.url + path, json=body))

    def refused(self, body: Json, path: str = JOBS) -> Json:
        """The error of a create request that is refused."""
        answer = http.post(self.sim.url + path, json=body)
        assert answer.status_code == answer.json()["error"]["code"]
        return dict(answer.json()["error"])

    def _json(self, answer: httpx.Response) -> Json:
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@dataclass
class Developer:
    """The Developer API of a simulator, over plain HTTP."""

    sim: BatchSim
    version: str = "v1beta"
    key: str = "a-key"

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = f"{self.sim.url}/{self.version}/{path}"
        headers = {"x-goog-api-key": self.key}
        return http.request(method, url, headers=headers, **options)

    def create(self, batch: Json, model: str = "gemini-3.8-flash") -> Json:
        path = f"models/{model}:batchGenerateContent"
        answer = self.request("POST", path, json={"batch": batch})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def inline(self, count: int = 1, **batch: Any) -> Json:
        """Creates a job with this many inlined requests."""
        items = [
            {"request": row(f"row {n}")["request"], "metadata": {"key": f"k{n}"}}
            for n in range(count)
        ]
        return self.create({"inputConfig": {"requests": {"requests": items}}, **batch})

    def get(self, name: str) -> Json:
        answer = self.request("GET", name)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def upload(self, lines: Iterable[Json] | str, **file: str) -> str:
        """Uploads JSON lines as a file with these members; returns its name."""
        if not isinstance(lines, str):
            lines = "".join(json.dumps(line) + "\n" for line in lines)
        content = lines.encode()
        start = http.post(
            f"{self.sim.url}/upload/{self.version}/files",
            headers={
                "x-goog-api-key": self.key,
                "x-goog-upload-protocol": "resumable",
                "x-goog-upload-command": "start",
                "x-goog-upload-header-content-length": str(len(content)),
                "x-goog-upload-header-content-type": "application/jsonl",
            },
            json={"file": {"display_name": "lines", **file}},
        )
        done = http.post(
            start.headers["x-goog-upload-url"],
            headers={
                "x-goog-upload-command": "upload, finalize",
                "x-goog-upload-offset": "0",
            },
            content=content,
        )
        assert done.headers["x-goog-upload-status"] == "final", done.text
        return str(done.json()["file"]["name"])

    def download(self, name: str) -> str:
        answer = self.request("GET", f"{name}:download?alt=media")
        assert answer.status_code == 200, answer.text
        return answer.text
