"""
google-genai's own tests of batches, which its wheel brings, against batchsim.

They are written for Google's own API: they name files and batches of a project there,
which are made here before each test. `genai_suite.toml` lists the tests that can't
pass, and why. A test that fails and isn't listed, or passes and is, fails the run.
`make genai` runs it; google-genai is taken as it is installed.
"""

import asyncio
import inspect
import shutil
import sys
import tempfile
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from batchsim import BatchSim
from tests.batchsim.drive import JOBS, Developer, Json, http, row, vertex_body

#: What the tests request by name: a batch to get, to cancel and to delete (on Vertex,
#: on the Developer API), batches of embeddings, inline and of a file, and two files.
TO_GET = ("5798522612028014592", "z2p8ksus4lyxt25rntl3fpd67p2niw4hfij5")
TO_CANCEL = ("6339625664542408704", "0yew7plxupyybd7appsrq5vw7w0lp3l79lab")
TO_DELETE = ("7085929781874655232", "70h2jo0ic2t1zejyl0p4jgi8mk1gj0wvjusv")
INLINE = "wdx71o8cgbzoa6gg3be1mg7g8ulrhapcjgo3"
OF_FILE = "507oatd242het8ox60pwsmn7tcmtkrj8itff"
FILE = "files/s0pa54alni6w"
EMBEDDINGS_FILE = "files/mq9e3mg3u2y5"

NEEDED = ("__init__.py", "conftest.py", "pytest_helper.py", "batches")

INI = """
[pytest]
consider_namespace_packages = true
xfail_strict = true
filterwarnings = ignore
markers = asyncio
"""


def main() -> int:
    listed = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
    reasons = {
        test: one["reason"] for one in listed["exception"] for test in one["tests"]
    }
    with tempfile.TemporaryDirectory() as folder, BatchSim(speed=0) as sim:
        place = Path(folder)
        tests = _copy(place)
        (place / "pytest.ini").write_text(INI)
        sys.path.insert(0, folder)
        args = [str(tests), "--mode", "api", "-c", str(place / "pytest.ini")]
        args += ["--rootdir", folder, "-p", "no:cacheprovider", "-q", "-rx"]
        with pytest.MonkeyPatch.context() as patch:
            return pytest.main(args, plugins=[_Suite(sim, reasons, patch, place)])


def _copy(place: Path) -> Path:
    """
    The package with its tests of batches alone; where they are.

    They read a picture that the wheel lacks, and find the package by its place.
    """
    spec = find_spec("google.genai")
    assert spec
    assert spec.origin
    package = Path(spec.origin).parent

    def unneeded(folder: str, names: list[str]) -> list[str]:
        if Path(folder) == package / "tests":
            return [name for name in names if name not in NEEDED]
        return ["__pycache__"]

    copy = shutil.copytree(package, place / "google/genai", ignore=unneeded)
    picture = copy / "tests/data/google.png"
    picture.parent.mkdir()
    picture.write_bytes(b"a picture")
    return copy / "tests/batches"


class _Suite:
    """A pytest plugin: creates what the tests need, and marks those that can't pass."""

    def __init__(
        self,
        sim: BatchSim,
        reasons: dict[str, str],
        patch: pytest.MonkeyPatch,
        place: Path,
    ) -> None:
        self.sim = sim
        self.reasons = reasons
        self.patch = patch
        patch.setenv("GOOGLE_GENAI_REPLAYS_DIRECTORY", str(place / "replays"))
        patch.setenv("GOOGLE_API_KEY", "a-key")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        from google.genai import _replay_api_client, types
        from google.oauth2.credentials import Credentials

        client = _replay_api_client.ReplayApiClient
        make = client.__init__

        def init(self: Any, *, http_options: Any = None, **options: Any) -> None:
            options["http_options"] = types.HttpOptions.model_validate(
                http_options or {}
            ).model_copy(update={"base_url": url})
            if options["vertexai"]:
                options |= {"project": "my-project", "location": "us-central1"}
            make(self, **options)

        url = self.sim.url
        self.patch.setattr(client, "__init__", init)
        self.patch.setattr("google.auth.default", lambda **_: (Credentials("t"), "p"))
        missing = set(self.reasons)
        for item in items:
            name = _short(item)
            if name in self.reasons:
                missing.discard(name)
                item.add_marker(pytest.mark.xfail(reason=self.reasons[name]))
        if missing:
            raise pytest.UsageError(f"listed, but no tests: {', '.join(missing)}")

    def pytest_runtest_setup(self) -> None:
        _prepare(self.sim)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> object:
        if not inspect.iscoroutinefunction(pyfuncitem.obj):
            return None
        names = inspect.signature(pyfuncitem.obj).parameters
        asyncio.run(pyfuncitem.obj(**{n: pyfuncitem.funcargs[n] for n in names}))
        return True


def _short(item: pytest.Item) -> str:
    """`test_get.py::test_async_get[vertex]`."""
    assert isinstance(item, pytest.Function)
    api = "vertex" if item.callspec.params["use_vertex"] else "developer"
    return f"{item.path.name}::{item.originalname}[{api}]"


def _prepare(sim: BatchSim) -> None:
    """Creates what the tests request, afresh."""
    sim.reset()
    developer = Developer(sim)
    request: Json = {"content": {"parts": [{"text": "t"}]}}
    embed = "gemini-embedding-001:asyncBatchEmbedContent"
    generate = "gemini-3.8-flash:batchGenerateContent"
    prompt = _inline(row()["request"])
    developer.upload([row(key="k")], name=FILE)
    file = developer.upload([{"key": "k", "request": request}], name=EMBEDDINGS_FILE)
    with pytest.MonkeyPatch.context() as patch:

        def on_vertex(id: str) -> None:
            patch.setattr("batchsim.vertex.vertex_id", lambda: id)
            http.post(sim.url + JOBS, json=vertex_body("b")).raise_for_status()

        def on_developer(id: str, method: str, config: Json) -> None:
            patch.setattr("batchsim.developer.developer_id", lambda: id)
            body = {"batch": {"inputConfig": config}}
            developer.request("POST", f"models/{method}", json=body).raise_for_status()

        for id, developer_id in (TO_GET, TO_DELETE):
            on_vertex(id)
            on_developer(developer_id, generate, prompt)
        on_developer(INLINE, embed, _inline(request))
        on_developer(OF_FILE, embed, {"fileName": file})
        sim.clock.advance(60)
        on_vertex(TO_CANCEL[0])
        on_developer(TO_CANCEL[1], generate, prompt)


def _inline(request: Json) -> Json:
    return {"requests": {"requests": [{"request": request}]}}


if __name__ == "__main__":
    sys.exit(main())
