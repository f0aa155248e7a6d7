"""What people see while Google Cloud gives no answer."""

import socket
from time import monotonic

import pytest
from flask.testing import FlaskClient
from google.cloud import firestore

from batchdrop import wiring
from batchdrop.errors import Unavailable
from batchdrop.ledger import Ledger


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
