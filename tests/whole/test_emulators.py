"""The emulators: found, started, shared, and honest about it when they are not."""

import os
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


def test_a_named_emulator_that_does_not_answer_is_an_error_with_its_name() -> None:
    address = f"127.0.0.1:{free_port()}"

    with pytest.raises(StackError) as caught:
        emulators.named(PUBSUB, {"PUBSUB_EMULATOR_HOST": address})

    assert f"PUBSUB_EMULATOR_HOST is {address}" in str(caught.value)


def test_without_gcloud_the_error_names_the_ways_to_get_the_emulator(
    tmp_path: Path,
) -> None:
    with pytest.raises(emulators.NoEmulator) as caught:
        emulators.find(FIRESTORE, {"PATH": str(tmp_path)})

    assert "no gcloud on the PATH" in str(caught.value)
    assert "gcloud components install cloud-firestore-emulator" in str(caught.value)
    assert "FIRESTORE_EMULATOR_HOST=HOST:PORT" in str(caught.value)


def test_a_cloud_sdk_is_found_through_a_link_to_its_gcloud(tmp_path: Path) -> None:
    sdk = a_cloud_sdk(tmp_path / "sdk")
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "gcloud").symlink_to(sdk / "bin/gcloud")
    a_program(bin_ / "java")

    jar, java = emulators.find(PUBSUB, {"PATH": str(bin_)})

    assert jar == sdk / "platform/pubsub-emulator/lib/cloud-pubsub-emulator-1-all.jar"
    assert java == str(bin_ / "java")


def test_a_cloud_sdk_without_the_component_is_named(tmp_path: Path) -> None:
    sdk = a_cloud_sdk(tmp_path / "sdk")

    with pytest.raises(emulators.NoEmulator) as caught:
        emulators.find(FIRESTORE, {"PATH": str(sdk / "bin")})

    assert str(sdk / "platform/cloud-firestore-emulator") in str(caught.value)


def test_a_java_that_does_not_run_counts_as_none(tmp_path: Path) -> None:
    sdk = a_cloud_sdk(tmp_path / "sdk")
    a_program(sdk / "bin/java", "exit 1")

    with pytest.raises(emulators.NoEmulator) as caught:
        emulators.find(PUBSUB, {"PATH": str(sdk / "bin")})

    assert "no working java" in str(caught.value)


def a_cloud_sdk(root: Path) -> Path:
    """A Cloud SDK that has the Pub/Sub emulator alone."""
    lib = root / "platform/pubsub-emulator/lib"
    lib.mkdir(parents=True)
    (lib / "cloud-pubsub-emulator-1-all.jar").touch()
    (root / "bin").mkdir()
    a_program(root / "bin/gcloud")
    return root


def a_program(path: Path, does: str = "exit 0") -> None:
    path.write_text(f"#!/bin/sh\n{does}\n")
    os.chmod(path, 0o755)
