"""Google's own emulators of Firestore and Pub/Sub, and where to find them."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from batchdrop_local.processes import Process, Processes, StackError

# They live for minutes: a fast start is worth more than the best machine code.
_JAVA = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Duser.language=en",
    f"-Djava.util.logging.config.file={Path(__file__).parent}/java-logging.properties",
)


@dataclass(frozen=True, slots=True)
class Emulator:
    """One emulator: its name, how it is found in a Cloud SDK, how it is started."""

    name: str
    variable: str  #: Google's clients take the address, HOST:PORT, from it
    component: str  #: the Cloud SDK's component
    jar: str  #: under the Cloud SDK's `platform/`, as a glob
    main: str | None = None  #: the class to start; None: the jar's own

    def command(self, java: str, jar: Path, port: int) -> list[str]:
        # The jars are started themselves: the SDK's script for Firestore leaves its
        # Java child behind when it is killed.
        start = (
            ["-jar", str(jar)] if self.main is None else ["-cp", str(jar), self.main]
        )
        return [java, *_JAVA, *start, "--host=127.0.0.1", f"--port={port}"]


FIRESTORE = Emulator(
    name="firestore",
    variable="FIRESTORE_EMULATOR_HOST",
    component="cloud-firestore-emulator",
    jar="cloud-firestore-emulator/cloud-firestore-emulator.jar",
    main="com.google.cloud.datastore.emulator.firestore.CloudFirestore",
)
PUBSUB = Emulator(
    name="pubsub",
    variable="PUBSUB_EMULATOR_HOST",
    component="pubsub-emulator",
    jar="pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar",
)
ALL = (FIRESTORE, PUBSUB)


class NoEmulator(StackError):
    """The emulator is not on this machine. The message lists the ways to get it."""


def named(emulator: Emulator, env: Mapping[str, str] = os.environ) -> str | None:
    """
    The address of the emulator that the environment names; None if it names none.

    Raises:
        StackError: nothing answers there.
    """
    address = env.get(emulator.variable)
    if not address:
        return None
    try:
        httpx.get(f"http://{address}/", timeout=5, trust_env=False)
    except httpx.TransportError as exc:
        raise StackError(
            f"use the {emulator.name} emulator",
            f"{emulator.variable} is {address}, but there is no answer ({exc}). "
            "Start it, or unset the variable to have one started",
        ) from exc
    return address


def start(
    emulator: Emulator,
    processes: Processes,
    port: int,
    env: Mapping[str, str] = os.environ,
) -> Process:
    """
    Start the Cloud SDK's emulator on a loopback port, without waiting for it.

    Raises:
        NoEmulator: the Cloud SDK, its component or Java is not on this machine.
    """
    jar, java = find(emulator, env)
    command = emulator.command(java, jar, port)
    url = f"http://127.0.0.1:{port}/"
    return processes.start(emulator.name, command, env, url)


def find(emulator: Emulator, env: Mapping[str, str] = os.environ) -> tuple[Path, str]:
    """The emulator's jar in the Cloud SDK, and Java. Raises NoEmulator."""
    gcloud = shutil.which("gcloud", path=env.get("PATH"))
    if gcloud is None:
        raise _missing(emulator, "there is no gcloud on the PATH")
    # The SDK's root is above the folder of the real gcloud, not of a link to it.
    platform = Path(gcloud).resolve().parent.parent / "platform"
    jars = sorted(platform.glob(emulator.jar))
    if not jars:
        raise _missing(emulator, f"the Cloud SDK has no {platform / emulator.jar}")
    java = shutil.which("java", path=env.get("PATH"))
    if java is None or not _java_runs(java):
        raise _missing(emulator, "there is no working java on the PATH")
    return jars[-1], java


def _java_runs(java: str) -> bool:
    # The /usr/bin/java of macOS only prints where to get Java.
    return subprocess.run([java, "-version"], capture_output=True).returncode == 0


def _missing(emulator: Emulator, reason: str) -> NoEmulator:
    return NoEmulator(
        f"find the {emulator.name} emulator",
        f"""{reason}. Ways to get it:
  - gcloud components install {emulator.component}, and a Java runtime
  - with the Cloud SDK from Google's apt repository:
    apt-get install google-cloud-cli-{emulator.name}-emulator default-jre-headless
  - run it elsewhere, such as in the container image
    gcr.io/google.com/cloudsdktool/google-cloud-cli:emulators,
    and set {emulator.variable}=HOST:PORT""",
    )
