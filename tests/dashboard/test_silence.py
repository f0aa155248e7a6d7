"""What people see while Google Cloud gives no answer."""

import socket
from time import monotonic

import pytest
from flask.testing import FlaskClient
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from google.cloud import storage as cloud

from batchdrop import wiring
from batchdrop.errors import Unavailable
from batchdrop.ledger import Ledger
from batchdrop.storage import Storage
from tests.worker.collecting import collected, lines, question, submit
from tests.worker.world import World


def test_a_ledger_that_never_answers_is_said_in_time(
    pages: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        # Connections are accepted, and nobody reads what comes.
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", host)
        client = firestore.Client(project="p")
        ledger = Ledger(lambda: client, "test", patience=0.2)
        monkeypatch.setattr(wiring, "ledger", lambda: ledger)
        began = monotonic()

        for path in ("/", "/?name=a*b", f"/jobs/{'a' * 26}", "/status"):
            answer = pages.get(path)
            assert answer.status_code == 503, path
            assert "Google Cloud gave no answer." in answer.text, path
        with pytest.raises(Unavailable):
            ledger.owner("test")

    assert monotonic() - began < 10


def test_objects_that_never_come_are_said_in_time(
    deployed: World, pages: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = collected(deployed, submit(deployed, lines([question(1)])))
    assert job.results
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        client = cloud.Client(
            project="p",
            credentials=AnonymousCredentials(),
            client_options={
                "api_endpoint": f"http://127.0.0.1:{silent.getsockname()[1]}"
            },
        )
        storage = Storage(lambda: client, patience=0.2)
        monkeypatch.setattr(wiring, "storage", lambda: storage)
        began = monotonic()

        for query in ("", "?line=1"):
            answer = pages.get(f"/jobs/{job.id}/rows{query}")
            assert answer.status_code == 503
        with pytest.raises(Unavailable):
            storage.present(job.results.uri)

    assert monotonic() - began < 10
