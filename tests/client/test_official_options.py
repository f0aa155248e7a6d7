"""
Options as objects of the official SDK's types: what both clients send for them is the
same. Requests and their configs are in `test_official_requests.py`.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import types

from batchdrop import Client
from batchdrop.batches import CreateBatchJobConfig, HttpOptions
from tests.client.official import DEVELOPER, VERTEX, Speakers, content_of, ours, theirs
from tests.client.recorder import Answer, Recorder

JOB = {"name": "projects/1/locations/us-central1/batchPredictionJobs/7"}
DATASET = "projects/p/locations/us-central1/datasets/5"

OPTIONS = types.HttpOptions(timeout=2500, headers={"x-mine": "1"}, api_version="v9")
FILE = types.File(name="files/f", uri="https://x/files/f", mime_type="text/plain")


@pytest.fixture(scope="module")
def speakers() -> Iterator[Speakers]:
    with Recorder(Answer(body=JOB)) as server:
        speakers = Speakers(server)
        yield speakers
        speakers.close()


def _create(**kw: Any) -> tuple[str, dict[str, Any]]:
    return "create", {"model": "m", **kw}


ROWS: list[tuple[str, dict[str, Any], tuple[str, dict[str, Any]]]] = [
    (
        "vertex: a source of gs://",
        VERTEX,
        _create(src=types.BatchJobSource(format="jsonl", gcs_uri=["gs://b/in.jsonl"])),
    ),
    (
        "vertex: a source of bq://",
        VERTEX,
        _create(src=types.BatchJobSource(format="bigquery", bigquery_uri="bq://p.d.t")),
    ),
    (
        "vertex: a dataset",
        VERTEX,
        _create(
            src=types.BatchJobSource(
                format="vertex-dataset", vertex_dataset_name=DATASET
            )
        ),
    ),
    (
        "vertex: a config",
        VERTEX,
        _create(
            src="gs://b/in.jsonl",
            config=types.CreateBatchJobConfig(
                display_name="n",
                dest="gs://o/p",
                http_options=types.HttpOptions(extra_body={"labels": {"a": "b"}}),
            ),
        ),
    ),
    (
        "vertex: a destination",
        VERTEX,
        _create(
            src="gs://b/in.jsonl",
            config={
                "dest": types.BatchJobDestination(
                    format="bigquery", bigquery_uri="bq://p.d.o"
                )
            },
        ),
    ),
    (
        "vertex: a dataset as a destination",
        VERTEX,
        _create(
            src="gs://b/in.jsonl",
            config=types.CreateBatchJobConfig(
                dest=types.BatchJobDestination(
                    format="vertex-dataset",
                    vertex_dataset=types.VertexMultimodalDatasetDestination(
                        bigquery_destination="bq://p.d.o", display_name="n"
                    ),
                )
            ),
        ),
    ),
    (
        "vertex: a listing",
        VERTEX,
        (
            "list",
            {
                "config": types.ListBatchJobsConfig(
                    page_size=3,
                    page_token="t",
                    filter='state="JOB_STATE_FAILED"',
                    http_options=OPTIONS,
                )
            },
        ),
    ),
    ("a file", DEVELOPER, _create(src=types.BatchJobSource(file_name="files/f"))),
    (
        "requests",
        DEVELOPER,
        _create(
            src=types.BatchJobSource(
                inlined_requests=[types.InlinedRequest(contents="a")]
            )
        ),
    ),
    (
        "a config with a webhook",
        DEVELOPER,
        _create(
            src="files/f",
            config=types.CreateBatchJobConfig(
                display_name="n",
                webhook_config=types.WebhookConfig(
                    uris=["u"], user_metadata={"a_b": None}
                ),
                http_options=OPTIONS,
            ),
        ),
    ),
    (
        "a webhook in a dict",
        DEVELOPER,
        _create(
            src="files/f",
            config={"webhook_config": types.WebhookConfig(user_metadata={"a": 1})},
        ),
    ),
    (
        "embeddings",
        DEVELOPER,
        (
            "create_embeddings",
            {
                "model": "m",
                "src": types.EmbeddingsBatchJobSource(
                    inlined_requests=types.EmbedContentBatch(
                        contents=["a"],
                        config=types.EmbedContentConfig(task_type="RETRIEVAL_QUERY"),
                    )
                ),
                "config": types.CreateEmbeddingsBatchJobConfig(
                    display_name="n", http_options=OPTIONS
                ),
            },
        ),
    ),
    (
        "a file of embeddings",
        DEVELOPER,
        (
            "create_embeddings",
            {"model": "m", "src": types.EmbeddingsBatchJobSource(file_name="files/f")},
        ),
    ),
    *(
        (
            method,
            DEVELOPER,
            (method, {"name": "batches/a", "config": kind(http_options=OPTIONS)}),
        )
        for method, kind in (
            ("get", types.GetBatchJobConfig),
            ("cancel", types.CancelBatchJobConfig),
            ("delete", types.DeleteBatchJobConfig),
        )
    ),
    (
        "options in a dict",
        DEVELOPER,
        ("get", {"name": "batches/a", "config": {"http_options": OPTIONS}}),
    ),
    (
        "a listing",
        DEVELOPER,
        ("list", {"config": types.ListBatchJobsConfig(page_size=3, page_token="t")}),
    ),
]


@pytest.mark.parametrize(
    ("arguments", "row"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_an_object_of_the_official_types_sends_the_same(
    speakers: Speakers,
    arguments: dict[str, Any],
    row: tuple[str, dict[str, Any]],
) -> None:
    method, kwargs = row

    def use(client: Any) -> None:
        getattr(client.batches, method)(**kwargs)

    expected = speakers.wire(theirs, use, arguments)
    sent = speakers.wire(ours, use, arguments)

    assert [content_of(r) for r in sent] == [content_of(r) for r in expected]
    assert len(sent) == 1


def test_official_objects_are_accepted_in_our_own_config(speakers: Speakers) -> None:
    config = CreateBatchJobConfig(
        dest=types.BatchJobDestination(gcs_uri="gs://o/p"),  # type: ignore[arg-type]
        http_options=OPTIONS,  # type: ignore[arg-type]
        encryption_spec=types.EncryptionSpec(kms_key_name="k"),  # type: ignore[arg-type]
    )

    def use(client: Any) -> None:
        client.batches.create(model="m", src="gs://b/in.jsonl", config=config)

    (sent,) = speakers.wire(ours, use, VERTEX)

    assert sent.headers["x-server-timeout"] == "3"
    assert sent.json["outputConfig"]["gcsDestination"] == {
        "outputUriPrefix": "gs://o/p"
    }
    assert sent.json["encryptionSpec"] == {"kmsKeyName": "k"}


def test_one_address_of_a_webhook_is_a_list_of_one(speakers: Speakers) -> None:
    def use(client: Any) -> None:
        client.batches.create(
            model="m", src="files/f", config={"webhook_config": {"uris": "https://h"}}
        )

    (sent,) = speakers.wire(ours, use, DEVELOPER)

    assert sent.json["batch"]["webhookConfig"] == {"uris": ["https://h"]}


def test_an_uploaded_file_is_a_source(speakers: Speakers) -> None:
    def use(client: Any) -> None:
        client.batches.create(model="m", src=FILE)
        client.batches.create_embeddings(model="m", src=FILE)

    generating, embedding = speakers.wire(ours, use, DEVELOPER)

    assert generating.json == {"batch": {"inputConfig": {"fileName": "files/f"}}}
    assert embedding.json == {"batch": {"inputConfig": {"file_name": "files/f"}}}


def test_a_job_of_the_official_sdk_names_a_job(speakers: Speakers) -> None:
    job: Any = types.BatchJob(name="batches/a")

    def use(client: Any) -> None:
        client.batches.get(name=job)
        client.batches.cancel(batch_job=job)

    sent = speakers.wire(ours, use, DEVELOPER)

    assert [r.path for r in sent] == ["/v1/batches/a", "/v1/batches/a:cancel"]


def test_a_source_of_unknown_type_is_not_shown_in_the_error(
    speakers: Speakers,
) -> None:
    secret = types.CreateBatchJobConfig(
        http_options=types.HttpOptions(headers={"authorization": "s3cret"})
    )

    def use(client: Any) -> None:
        for arguments in (
            {"src": secret},
            {"src": "files/f", "config": {"dest": secret}},
            {"src": {1: secret}},
        ):
            with pytest.raises(ValueError, match=r".") as caught:
                client.batches.create(model="m", **arguments)
            assert "s3cret" not in str(caught.value)

    assert speakers.wire(ours, use, DEVELOPER) == []


# HttpOptions.


def _said_through(
    make: Callable[..., Any], arguments: dict[str, Any], options: Any
) -> Any:
    with Recorder(Answer(body=JOB)) as server:
        given = options(server.url)
        client = make(**arguments, http_options=given)
        client.batches.get(name="7" if arguments is VERTEX else "batches/a")
        client.close()
        return content_of(server.requests[0]) | {
            "x-args": server.requests[0].headers.get("x-args")
        }


OF_A_CLIENT: dict[str, dict[str, Any]] = {
    "milliseconds": {"timeout": 1001},
    "no timeout": {"timeout": 0},
    "more than an hour": {"timeout": 7_200_000},
    "headers": {"headers": {"X-Mine": "1"}},
    "retries": {"retry_options": types.HttpRetryOptions(attempts=2)},
    "client_args": {
        "client_args": {
            "headers": {"x-args": "2"},
            "params": {"a": "b"},
            "cookies": {"c": "d"},
            "timeout": 3,
        }
    },
    "a whole base address": {"base_url_resource_scope": types.ResourceScope.COLLECTION},
}


@pytest.mark.parametrize("given", OF_A_CLIENT.values(), ids=OF_A_CLIENT.keys())
@pytest.mark.parametrize("arguments", [DEVELOPER, VERTEX], ids=["developer", "vertex"])
def test_a_client_takes_official_http_options(
    given: dict[str, Any], arguments: dict[str, Any]
) -> None:
    def options(url: str) -> types.HttpOptions:
        return types.HttpOptions(base_url=f"{url}/base", **given)

    assert _said_through(Client, arguments, options) == _said_through(
        genai.Client, arguments, options
    )


def test_client_args_apply_to_the_sync_face_and_async_client_args_to_the_other() -> (
    None
):
    faces: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        faces.append(request.headers["x-face"])
        return httpx.Response(200, json=JOB)

    transport = httpx.MockTransport(answer)
    options = {
        "client_args": {"transport": transport, "headers": {"x-face": "sync"}},
        "async_client_args": {"transport": transport, "headers": {"x-face": "async"}},
    }

    async def use(client: Client) -> None:
        async with client.aio as aio:
            await aio.batches.get(name="batches/a")

    with Client(api_key="k", http_options=options) as client:
        client.batches.get(name="batches/a")
        asyncio.run(use(client))

    assert faces == ["sync", "async"]


def test_a_timeout_in_client_args_applies_unless_another_is_given() -> None:
    waits: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        waits.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json=JOB)

    args = {"transport": httpx.MockTransport(answer), "timeout": 7.0}
    for options in ({"client_args": args}, {"client_args": args, "timeout": 5.0}):
        with Client(api_key="k", http_options=options) as client:
            client.batches.get(name="batches/a")

    assert waits == [7.0, 5.0]


def test_an_unknown_argument_of_httpx_is_named_in_the_error() -> None:
    client = Client(api_key="k", http_options={"client_args": {"ssl": True}})

    with pytest.raises(ValueError, match=r"http_options\.client_args: .*'ssl'"):
        client.batches.get(name="batches/a")


def test_a_session_of_aiohttp_is_refused() -> None:
    with pytest.raises(ValueError, match="aiohttp_client"):
        Client(api_key="k", http_options={"aiohttp_client": object()})


def test_a_scope_without_a_base_address_is_refused_by_both() -> None:
    options: Any = {"base_url_resource_scope": "COLLECTION"}
    makers: tuple[Callable[..., Any], ...] = (genai.Client, Client)

    for make in makers:
        with pytest.raises(ValueError, match="base_url"):
            make(api_key="k", http_options=options)


def test_a_timeout_in_a_dict_is_in_seconds_and_may_be_a_timedelta() -> None:
    assert HttpOptions(timeout=timedelta(hours=2)).seconds == 7200
    for timeout in (30_000, 0, -1, timedelta(0)):
        with pytest.raises(ValueError, match="in seconds"):
            HttpOptions(timeout=timeout)
