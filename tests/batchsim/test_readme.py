"""The README's examples run unchanged, and its tables are complete."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import batchsim as package
from batchdrop_local.processes import free_port
from batchsim import BatchSim
from batchsim.faults import CATALOGUE, OPS
from tests import services
from tests.batchsim.drive import Vertex, http, row, rows

pytest_plugins = ["pytester"]

README = Path(package.__file__).with_name("README.md").read_text(encoding="utf-8")


def example(heading: str, language: str) -> str:
    """The first block of code after a bold heading."""
    after = README.partition(f"**{heading}")[2]
    found = re.search(rf"```{language}\n(.*?)```", after, re.DOTALL)
    assert found, heading
    return found[1]


def test_the_examples_in_pytest(pytester: pytest.Pytester) -> None:
    imports = (
        "from google import genai\nfrom google.oauth2.credentials import Credentials\n"
    )
    pytester.makeconftest(example("Once, in", "python"))
    for n, heading in enumerate(("In pytest.", "In pytest, on Vertex**")):
        code = imports + example(heading, "python")
        pytester.makepyfile(**{f"test_readme_{n}": code})

    # In this process, which has imported the official client.
    ran = pytester.runpytest_inprocess("-q")

    ran.assert_outcomes(passed=2)


def test_the_example_in_python(capsys: pytest.CaptureFixture[str]) -> None:
    exec(example("In Python**", "python"), {})

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", capsys.readouterr().out)


def test_the_example_from_the_shell(vertex: Vertex, tmp_path: Path) -> None:
    lines = example("From the shell**", "sh").splitlines()
    body = vertex.body(vertex.bucket.put(rows(2)), labels={"team": "a"})
    (tmp_path / "job.json").write_text(json.dumps(body))
    port = free_port()
    script = [
        "set -e",
        f"export PATH={Path(sys.executable).parent}:$PATH",
        # The storage is the tests' own.
        *(line for line in lines if not line.startswith("export STORAGE")),
    ]
    text = "\n".join(script).replace("8080", str(port))
    ready = f"\nuntil curl -s localhost:{port} >/dev/null; do sleep 0.05; done\n"
    text = text.replace(" &\n", " &" + ready) + "\nkill %1; wait"

    ran = subprocess.run(
        ["bash", "-mc", text], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )

    created, listed, jobs = ran.stdout.partition("{")[2].split("}{")
    assert '"JOB_STATE_PENDING"' in created
    assert '"batchPredictionJobs"' in listed
    assert '"team":"a"' in jobs


def test_the_example_from_node(batchsim: BatchSim) -> None:
    folder = services.node_folder("@google/genai@3.1.0")
    code = example("From Node:**", "js")
    script = folder / "readme.mjs"
    script.write_text(code.replace("http://127.0.0.1:8080", batchsim.url))

    ran = subprocess.run(["node", str(script)], capture_output=True, text=True)

    assert ran.stdout == "JOB_STATE_SUCCEEDED\n", ran.stderr


def test_the_example_with_faults(vertex: Vertex) -> None:
    lines = example("With faults:**", "python").splitlines()
    exec("\n".join(lines[:-1]), {"batchsim": vertex.sim})

    kinds = [rule.fault for rule in vertex.sim.faults.rules()]
    for rule in vertex.sim.faults.rules()[:2]:  # those that strike creates
        vertex.sim.faults.remove(rule)
    stuck = vertex.create([row("x")], labels={"team": "a"})["name"]
    vertex.sim.clock.advance(hours=1)
    before = vertex.get(stuck)["state"]
    exec(lines[-1], {"batchsim": vertex.sim})
    vertex.sim.clock.advance(hours=1)

    assert kinds == ["drop_reply", "rate_limited", "row_failed", "stuck_pending"]
    assert before == "JOB_STATE_PENDING"
    assert vertex.get(stuck)["state"] == "JOB_STATE_SUCCEEDED"


def test_the_example_with_the_clock(vertex: Vertex) -> None:
    names: dict[str, object] = {
        "batchsim": vertex.sim,
        "create": lambda: vertex.create(rows(1))["name"],
    }

    exec(example("With the clock:**", "python"), names)

    assert vertex.get(str(names["job"]))["state"] == "JOB_STATE_SUCCEEDED"
    assert vertex.get(str(names["late"]))["state"] == "JOB_STATE_EXPIRED"


def test_the_table_of_faults_is_complete_and_right() -> None:
    table = README.partition("| fault | what it does |")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    shown = {
        name: row[3] for row in rows for name in re.findall(r"`([a-z_]+)`", row[1])
    }

    assert set(shown) == set(CATALOGUE)
    for name, fault in CATALOGUE.items():
        assert set(re.findall(r"`([a-z_]+)`", shown[name])) == set(fault.takes), name
    assert " ".join(OPS) in README


def test_the_table_of_paths_is_right(batchsim: BatchSim) -> None:
    cells = re.findall(r"^\| ([^|]*/_sim/\w+`) \|", README, re.MULTILINE)
    assert len(cells) == 7

    for cell in cells:
        path = re.search(r"/_sim/\w+", cell)
        assert path
        for method in re.findall(r"GET|POST|DELETE", cell):
            answer = http.request(method, batchsim.url + path[0], content=b"{}")
            # An unknown method answers 404; one without its body, 400.
            assert answer.status_code in (200, 400), (method, path[0])
