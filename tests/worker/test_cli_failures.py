"""What commands say when Google Cloud refuses: by its own client, from a socket."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result
from google.api_core import exceptions

from batchdrop import wiring
from batchdrop.cli import main
from batchdrop.cli.deployments import EMULATORS
from batchdrop.cli.failures import in_one_line
from batchdrop.errors import Misconfigured
from batchdrop.storage import _translated
from tests.often import mostly
from tests.rules.test_settings import ENOUGH

CACHED = (
    *(wiring.settings, wiring.ledger, wiring.now, wiring.worker, wiring.routes),
    *(wiring._firestore_client, wiring._storage_client),
)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Each command is a process of its own, and remembers no other's clients."""
    for made in CACHED:
        made.cache_clear()
    yield
    for made in CACHED:
        made.cache_clear()


class Refusing(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A Firestore that answers every call with one error."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        self.code, self.text = code, text

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def refuse(request: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
            context.abort(self.code, self.text)
            yield b""

        return grpc.unary_stream_rpc_method_handler(refuse)


Run = Callable[..., Result]


@pytest.fixture
def against() -> Iterator[Run]:
    """Runs a command against a Firestore that refuses."""
    server = grpc.server(ThreadPoolExecutor(2))
    port = server.add_insecure_port("127.0.0.1:0")

    def run(code: grpc.StatusCode, text: str, *arguments: str) -> Result:
        server.add_generic_rpc_handlers((Refusing(code, text),))
        server.start()
        env = ENOUGH | {"FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{port}"}
        return CliRunner().invoke(main, arguments, env=env)

    yield run
    server.stop(None)


@pytest.mark.parametrize(
    ("command", "role", "who"),
    [
        ("show", "roles/datastore.viewer", "readers"),
        ("cancel", "roles/datastore.user", "operators"),
    ],
)
def test_who_lacks_a_right_is_told_the_role(
    against: Run, command: str, role: str, who: str
) -> None:
    code = grpc.StatusCode.PERMISSION_DENIED

    ran = against(code, "Missing or insufficient permissions.", command, "a" * 26)

    assert ran.exit_code == 1
    assert ran.stderr.count("\n") == 1
    assert (role in ran.stderr, f"`{who}`" in ran.stderr) == (True, True)


@pytest.mark.parametrize(
    ("code", "text", "says"),
    [
        (
            grpc.StatusCode.NOT_FOUND,
            "The database prod does not exist for project p",
            "the deployment's ledger is not there (404 The database prod does not",
        ),
        (grpc.StatusCode.UNAUTHENTICATED, "Expired.", "your login at Google Cloud is"),
    ],
)
def test_a_ledger_that_does_not_answer_is_one_line(
    against: Run, code: grpc.StatusCode, text: str, says: str
) -> None:
    ran = against(code, text, "show", "a" * 26)

    assert ran.exit_code == 1
    assert ran.stderr.startswith(f"Error: {says}")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "The query requires an index. That index is currently building and cannot "
            "be used yet. See its status here: https://console.firebase.google.com/",
            "still being built; try again in a few minutes",
        ),
        (
            "The query requires an index. You can create it here: https://x",
            "run `terraform apply`",
        ),
    ],
)
def test_a_missing_index_is_told_from_one_that_is_being_built(
    text: str, says: str
) -> None:
    from google.api_core.exceptions import FailedPrecondition

    assert says in in_one_line(FailedPrecondition(text))


@pytest.mark.parametrize(
    ("command", "about"),
    [
        ("show aaaaaaaaaaaaaaaaaaaaaaaaaa", ""),
        ("status", ""),
        ("check gs://inbox/x.jsonl", "gs://inbox/x.jsonl: "),
    ],
)
def test_who_is_not_logged_in_is_told_how_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, about: str
) -> None:
    nobody = {"CLOUDSDK_CONFIG": str(tmp_path), "NO_GCE_CHECK": "true"}
    for name in (*EMULATORS, "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)

    ran = CliRunner().invoke(main, command.split(), env=ENOUGH | nobody)

    assert ran.exit_code == 1
    assert ran.stderr == (
        f"Error: {about}you are not logged in to Google Cloud; run `gcloud auth "
        "application-default login`\n"
    )


@pytest.mark.parametrize(
    ("raised", "text"),
    [
        (
            exceptions.NotFound(
                "GET https://storage.googleapis.com/storage/v1/b/gone/o?projection="
                "noAcl&prettyPrint=false: The specified bucket does not exist."
            ),
            "404 The specified bucket does not exist.",
        ),
        (
            exceptions.PreconditionFailed(
                "POST https://storage.googleapis.com/upload/storage/v1/b/gone/o?"
                'uploadType=multipart: {\n "error": {\n  "code": 412,\n  "message": '
                '"At least one of \\"x\\" did not hold."}}\n: (\'Request failed\', 412)'
            ),
            '412 At least one of "x" did not hold.',
        ),
        (exceptions.BadRequest("no address in it"), "400 no address in it"),
    ],
)
def test_an_error_of_cloud_storage_has_no_address_of_a_request(
    raised: Exception, text: str
) -> None:
    with pytest.raises(Misconfigured) as caught, _translated("gs://gone/x"):
        raise raised

    assert str(caught.value) == f"gs://gone/x: {text}"


def test_a_right_to_a_bucket_is_named_by_the_list_that_gives_it() -> None:
    with pytest.raises(Misconfigured) as caught, _translated("gs://output/x"):
        raise exceptions.Forbidden(
            "a@b.com does not have storage.objects.get access to the object."
        )

    line = in_one_line(caught.value)
    assert "roles/storage.objectViewer" in line
    assert "`readers`" in line


#: What the extra `cli` doesn't bring. None makes an import fail as if it weren't there.
NOT_THERE = (
    *("functions_framework", "cloudevents", "flask", "google.cloud.pubsub_v1"),
    *("google.cloud.bigquery", "psutil", "uvicorn", "starlette", "pyarrow"),
)
WITHOUT = (
    f"import sys; sys.modules.update(dict.fromkeys({NOT_THERE!r}));"
    "from batchdrop.cli import main; main(sys.argv[1:])"
)


@pytest.mark.parametrize(
    ("command", "code", "says"),
    mostly(
        ("status --json", 0, '"outbox"'),
        also=[
            ("cancel aaaaaaaaaaaaaaaaaaaaaaaaaa", 1, "there is no job aaaa"),
            ("announcements list --json", 0, ""),
            ("jobs --json", 0, ""),
            ("watch aaaaaaaaaaaaaaaaaaaaaaaaaa", 1, "no job aaaa"),
            ("results aaaaaaaaaaaaaaaaaaaaaaaaaa", 1, "there is no job aaaa"),
            ("costs", 0, "no job has ended with results"),
        ],
    ),
)
def test_commands_need_no_other_extra_than_cli(
    firestore_emulator: str, project: str, command: str, code: int, says: str
) -> None:
    env = ENOUGH | {
        "BATCHDROP_PROJECT": project,
        "FIRESTORE_EMULATOR_HOST": firestore_emulator,
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
    }

    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT, *command.split()],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
    )

    assert ran.returncode == code, ran.stderr
    assert says in ran.stdout + ran.stderr
