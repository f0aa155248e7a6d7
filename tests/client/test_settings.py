"""A client's API, address and credentials, compared with the official SDK's."""

import logging
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from google import genai

from batchdrop import Client
from batchdrop.batches import BatchJob, JobState, NotSignedIn, OutputInfo
from tests.client.credential import Token

CLOUD = [
    "GOOGLE_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_GENAI_USE_ENTERPRISE",
    "GOOGLE_GENAI_API_VERSION",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_VERTEX_BASE_URL",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_APPLICATION_CREDENTIALS",
]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in CLOUD:
        monkeypatch.delenv(name, raising=False)
    # No default credentials either: neither a file nor a metadata server.
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def asked(make: Any, arguments: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The address and the credentials that a list through such a client asks with."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={})

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        client = make(**arguments, http_options={"httpx_client": http, **options})
        client.batches.list()
    (request,) = requests
    kept = ("authorization", "x-goog-api-key", "x-goog-user-project")
    return {
        "url": str(request.url),
        **{name: request.headers[name] for name in kept if name in request.headers},
    }


P = {"vertexai": True, "project": "p"}
T = Token()

SAME: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "a region": ({**P, "location": "europe-west4", "credentials": T}, {}),
    "enterprise": ({"enterprise": True, "project": "p", "credentials": T}, {}),
    "enterprise and vertexai": ({**P, "enterprise": True, "credentials": T}, {}),
    "not enterprise": (
        {"enterprise": False, "api_key": "k"},
        {"GOOGLE_GENAI_USE_ENTERPRISE": "true"},
    ),
    "global": ({**P, "location": "global", "credentials": T}, {}),
    "us": ({**P, "location": "us", "credentials": T}, {}),
    "eu": ({**P, "location": "eu", "credentials": T}, {}),
    "no location": ({**P, "credentials": T}, {}),
    "express mode": ({"vertexai": True, "api_key": "k"}, {}),
    "a key and a project": ({**P, "location": "l", "api_key": "k"}, {}),
    "a key goes before the environment's project": (
        {"vertexai": True, "api_key": "k"},
        {"GOOGLE_CLOUD_PROJECT": "q", "GOOGLE_CLOUD_LOCATION": "m"},
    ),
    "a project goes before the environment's key": (
        {**P, "location": "l", "credentials": T},
        {"GOOGLE_API_KEY": "k"},
    ),
    "credentials go before the environment's key": (
        {"vertexai": True, "credentials": T},
        {"GOOGLE_API_KEY": "k", "GOOGLE_CLOUD_PROJECT": "q"},
    ),
    "the environment's project": (
        {"vertexai": True, "credentials": T},
        {"GOOGLE_CLOUD_PROJECT": "q", "GOOGLE_CLOUD_LOCATION": "m"},
    ),
    "the environment's API": (
        {"credentials": T},
        {"GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_CLOUD_PROJECT": "q"},
    ),
    "the environment's API, as 1": (
        {"credentials": T},
        {"GOOGLE_GENAI_USE_ENTERPRISE": "1", "GOOGLE_CLOUD_PROJECT": "q"},
    ),
    "not the environment's API": (
        {"vertexai": False, "api_key": "k"},
        {"GOOGLE_GENAI_USE_VERTEXAI": "true"},
    ),
    "the environment's express mode": (
        {},
        {"GOOGLE_GENAI_USE_VERTEXAI": "1", "GOOGLE_API_KEY": "k"},
    ),
    "the environment's version": (
        {**P, "location": "l", "credentials": T},
        {"GOOGLE_GENAI_API_VERSION": "v1"},
    ),
    "the environment's beta": (
        {**P, "location": "l", "credentials": T},
        {"GOOGLE_GENAI_API_VERSION": "beta"},
    ),
    "the environment's address": (
        {**P, "location": "l", "credentials": T},
        {"GOOGLE_VERTEX_BASE_URL": "https://h.example/x/"},
    ),
    "a key": ({"api_key": " k "}, {}),
    "the environment's key": ({}, {"GEMINI_API_KEY": "k"}),
    "the environment's keys": ({}, {"GEMINI_API_KEY": "k", "GOOGLE_API_KEY": "first"}),
    "a key goes before both": ({"api_key": "k"}, {"GOOGLE_API_KEY": "other"}),
    "the Developer API's beta": (
        {"api_key": "k"},
        {"GOOGLE_GENAI_API_VERSION": "beta"},
    ),
    "the Developer API's address": (
        {"api_key": "k"},
        {"GOOGLE_GEMINI_BASE_URL": "http://h.example"},
    ),
}


@pytest.mark.parametrize(("arguments", "env"), SAME.values(), ids=SAME.keys())
def test_a_client_is_set_up_as_the_official_one(
    arguments: dict[str, Any], env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    assert asked(Client, arguments) == asked(genai.Client, arguments)


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "https://h.example"},
        {"base_url": "https://h.example/x/", "api_version": "v1"},
        {"api_version": "v1beta"},
    ],
)
def test_an_option_overrides_the_environment(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", "https://other.example")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v9")
    arguments = {**P, "location": "l", "credentials": T}

    assert asked(Client, arguments, **options) == asked(
        genai.Client, arguments, **options
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"project": "p", "api_key": "k"},
        {"vertexai": True, "credentials": T, "api_key": "k"},
        {"enterprise": True, "vertexai": False, "project": "p"},
        {"enterprise": False, "vertexai": True, "api_key": "k"},
        {},
    ],
    ids=[
        "a project without Vertex",
        "two ways to sign",
        "enterprise but not Vertex",
        "Vertex but not enterprise",
        "nothing",
    ],
)
def test_arguments_that_the_official_client_refuses_are_refused(
    arguments: dict[str, Any],
) -> None:
    for make in (genai.Client, Client):
        with pytest.raises(
            ValueError, match=r"project|exclusive|exclude|API key|enterprise"
        ):
            make(**arguments)


def test_two_keys_in_the_environment_cause_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "first")
    monkeypatch.setenv("GEMINI_API_KEY", "second")

    with caplog.at_level(logging.WARNING):
        Client()

    assert "GOOGLE_API_KEY and GEMINI_API_KEY" in caplog.text
    assert "second" not in caplog.text


def test_contradicting_apis_in_the_environment_cause_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "false")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")

    with pytest.warns(UserWarning, match="contradict"):
        client = Client(api_key="k")

    assert client.vertexai is False


def test_default_credentials_are_searched_for_only_when_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "q")

    Client(vertexai=True)  # there are none here, and nothing needs them yet

    assert "GOOGLE_APPLICATION_CREDENTIALS" not in os.environ


def test_missing_credentials_are_an_error_that_says_how_to_sign_in() -> None:
    client = Client(vertexai=True, project="p", location="l")

    with pytest.raises(NotSignedIn, match="gcloud auth application-default login"):
        client.batches.list()


def test_missing_credentials_for_a_bucket_are_not_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    client = Client(vertexai=True, project="p", location="l")
    info = OutputInfo(gcs_output_directory="gs://b/o")
    job = BatchJob(name="n", state=JobState.SUCCEEDED, output_info=info)

    with pytest.raises(NotSignedIn, match="gs://b/o"):
        list(client.batches.results(job))


def test_no_repr_shows_a_key_or_a_token() -> None:
    developer = Client(api_key="k3y", http_options={"headers": {"x": "k3y"}})
    vertex = Client(vertexai=True, project="p", credentials=Token())

    for thing in (developer, vertex, developer._core._signer, vertex._core._signer):
        assert "k3y" not in repr(thing)
        assert "t0k3n" not in repr(thing)
