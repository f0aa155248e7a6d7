"""Google's Python client, unmodified, in both dialects."""

import io
import json
from collections.abc import Iterator

import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials

from batchsim import BatchSim
from tests.batchsim.drive import Bucket, Vertex, row, rows
from tests.there import there

# Experimental methods warn once a process; the tests call them on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is experimental and may change without notice"
)


@pytest.fixture(params=["v1", "v1beta1"])
def on_vertex(
    batchsim: BatchSim, request: pytest.FixtureRequest
) -> Iterator[genai.Client]:
    client = genai.Client(
        vertexai=True,
        project="my-project",
        location="us-central1",
        credentials=Credentials("a-token"),
        http_options=types.HttpOptions(
            base_url=batchsim.url, api_version=request.param
        ),
    )
    yield client
    client.close()


@pytest.fixture(params=["v1", "v1beta"])
def on_developer(
    batchsim: BatchSim, request: pytest.FixtureRequest
) -> Iterator[genai.Client]:
    client = genai.Client(
        api_key="a-key",
        http_options=types.HttpOptions(
            base_url=batchsim.url, api_version=request.param
        ),
    )
    yield client
    client.close()


def inline(*requests: types.InlinedRequestDict) -> list[types.InlinedRequestDict]:
    """A source of inlined requests."""
    return [*requests]


def again(client: genai.Client, job: types.BatchJob) -> types.BatchJob:
    """The job as it is now."""
    return client.batches.get(name=there(job.name))


def test_vertex_create_get_and_results(
    on_vertex: genai.Client, vertex: Vertex, bucket: Bucket
) -> None:
    source = bucket.put(rows(3))

    made = on_vertex.batches.create(
        model="gemini-3.8-flash",
        src=source,
        config={"display_name": "mine", "dest": f"gs://{bucket.name}/out"},
    )
    vertex.sim.clock.advance(3)
    running = again(on_vertex, made)
    vertex.sim.clock.advance(60)
    job = again(on_vertex, made)

    assert made.state == types.JobState.JOB_STATE_PENDING
    assert running.state == types.JobState.JOB_STATE_RUNNING
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    assert job.done
    assert job.display_name == "mine"
    assert job.model == "publishers/google/models/gemini-3.8-flash"
    assert there(job.src).gcs_uri == [source]
    assert there(job.completion_stats).successful_count == 3
    assert there(made.create_time) < there(job.start_time) < there(job.end_time)
    assert job.end_time == job.update_time
    directory = there(job.output_info).gcs_output_directory
    lines = bucket.answers({"outputInfo": {"gcsOutputDirectory": directory}})
    for line in lines:
        response = types.GenerateContentResponse.model_validate(line["response"])
        assert response.text == f"row {line['key'][1:]}"
        assert there(response.usage_metadata).total_token_count == 4


def test_vertex_list_page_cancel_and_delete(
    on_vertex: genai.Client, vertex: Vertex
) -> None:
    for n in range(5):
        vertex.create(displayName=f"job {n}", labels={"n": str(n)})

    listed = list(on_vertex.batches.list(config={"page_size": 2}))
    chosen = list(on_vertex.batches.list(config={"filter": "labels.n=3"}))
    on_vertex.batches.cancel(name=there(chosen[0].name))
    cancelled = again(on_vertex, chosen[0])
    deleted = on_vertex.batches.delete(name=there(chosen[0].name))

    assert [job.display_name for job in listed] == [f"job {n}" for n in (4, 3, 2, 1, 0)]
    assert [job.display_name for job in chosen] == ["job 3"]
    assert cancelled.state == types.JobState.JOB_STATE_CANCELLED
    assert there(cancelled.error).code == 1
    assert deleted.done
    with pytest.raises(errors.ClientError, match="404 NOT_FOUND"):
        again(on_vertex, chosen[0])


def test_vertex_default_destination_is_beside_the_input(
    on_vertex: genai.Client, vertex: Vertex, bucket: Bucket
) -> None:
    made = on_vertex.batches.create(
        model="gemini-3.8-flash", src=bucket.put(rows(1), "deep/in.jsonl")
    )
    vertex.sim.clock.advance(60)

    job = again(on_vertex, made)

    prefix = f"gs://{bucket.name}/deep/in/dest/prediction-model-"
    directory = there(there(job.output_info).gcs_output_directory)
    assert directory.startswith(prefix)


def test_vertex_errors_have_types_of_their_own(
    on_vertex: genai.Client, bucket: Bucket
) -> None:
    with pytest.raises(errors.ClientError, match="PublisherModel") as unknown:
        on_vertex.batches.create(model="nonesuch", src=bucket.put(rows(1)))
    with pytest.raises(errors.ClientError, match="output_config") as nowhere:
        on_vertex.batches.create(
            model="gemini-3.8-flash", src=bucket.put(rows(1), "in.txt")
        )

    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")
    assert (nowhere.value.code, nowhere.value.status) == (400, "INVALID_ARGUMENT")


def test_vertex_claude_by_the_sdks_short_name(
    on_vertex: genai.Client, vertex: Vertex, bucket: Bucket
) -> None:
    request = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}

    made = on_vertex.batches.create(
        model="anthropic/claude-sonnet-4",
        src=bucket.put([{"custom_id": "r1", "request": request}]),
    )
    vertex.sim.clock.advance(60)

    job = again(on_vertex, made)
    assert job.model == "publishers/anthropic/models/claude-sonnet-4"
    assert there(job.completion_stats).successful_count == 1


def test_developer_inline_job(batchsim: BatchSim, on_developer: genai.Client) -> None:
    made = on_developer.batches.create(
        model="gemini-3.8-flash",
        src=inline(
            {
                "contents": "Tell me a story",
                "metadata": {"key": "k1"},
                "config": {"system_instruction": "Be brief.", "temperature": 0.5},
            },
            {"contents": "And another", "metadata": {"key": "k2"}},
        ),
        config={"display_name": "stories"},
    )
    batchsim.clock.advance(60)
    job = again(on_developer, made)

    assert made.state == types.JobState.JOB_STATE_PENDING
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    assert job.display_name == "stories"
    answers = {
        there(one.metadata)["key"]: there(one.response)
        for one in there(there(job.dest).inlined_responses)
    }
    assert {key: answer.text for key, answer in answers.items()} == {
        "k1": "Tell me a story",
        "k2": "And another",
    }
    usage = {key: there(answer.usage_metadata) for key, answer in answers.items()}
    prompt = {key: there(one.prompt_token_count) for key, one in usage.items()}
    # The system instruction is counted too.
    assert prompt["k1"] > prompt["k2"]
    assert usage["k1"].total_token_count == (
        prompt["k1"] + there(usage["k1"].candidates_token_count)
    )


def test_developer_json_answers_fit_the_schema_of_the_sdk(
    batchsim: BatchSim, on_developer: genai.Client
) -> None:
    config = types.GenerateContentConfig(
        response_mime_type="application/json",
        response_schema=types.Schema(
            type=types.Type.OBJECT,
            properties={"stars": types.Schema(type=types.Type.INTEGER)},
        ),
    )

    made = on_developer.batches.create(
        model="gemini-3.8-flash",
        src=[types.InlinedRequest(contents="Rate it", config=config)],
    )
    batchsim.clock.advance(60)

    dest = there(again(on_developer, made).dest)
    (answer,) = there(dest.inlined_responses)
    text = there(there(answer.response).text)
    assert isinstance(json.loads(text)["stars"], int)


def test_developer_file_job_from_upload_to_download(
    batchsim: BatchSim, on_developer: genai.Client
) -> None:
    content = "".join(json.dumps(row(f"row {n}", key=f"k{n}")) + "\n" for n in range(4))
    file = on_developer.files.upload(
        file=io.BytesIO(content.encode()),
        config={"mime_type": "application/jsonl", "display_name": "lines"},
    )

    made = on_developer.batches.create(model="gemini-3.8-flash", src=there(file.name))
    batchsim.clock.advance(60)
    job = again(on_developer, made)
    result = on_developer.files.download(file=there(there(job.dest).file_name))

    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    lines = [json.loads(line) for line in result.splitlines()]
    answered = {
        line["key"]: types.GenerateContentResponse.model_validate(line["response"]).text
        for line in lines
    }
    assert answered == {f"k{n}": f"row {n}" for n in range(4)}


def test_developer_upload_of_several_chunks(
    batchsim: BatchSim, on_developer: genai.Client
) -> None:
    content = b"x" * (8 * 1024 * 1024 + 1)

    file = on_developer.files.upload(
        file=io.BytesIO(content), config={"mime_type": "application/jsonl"}
    )

    assert file.size_bytes == len(content)
    assert on_developer.files.get(name=there(file.name)).sha256_hash == file.sha256_hash


def test_developer_files_are_listed_and_deleted(
    batchsim: BatchSim, on_developer: genai.Client
) -> None:
    made = [
        there(
            on_developer.files.upload(
                file=io.BytesIO(b"{}"), config={"mime_type": "application/jsonl"}
            ).name
        )
        for _ in range(3)
    ]

    listed = [file.name for file in on_developer.files.list(config={"page_size": 2})]
    on_developer.files.delete(name=made[0])

    assert listed == made[::-1]
    with pytest.raises(errors.ClientError, match="403 PERMISSION_DENIED"):
        on_developer.files.get(name=made[0])


def test_developer_result_files_have_names_too_long_for_a_get(
    batchsim: BatchSim, on_developer: genai.Client
) -> None:
    with pytest.raises(errors.ClientError, match="400 INVALID_ARGUMENT"):
        on_developer.files.get(name="files/batch-" + "a" * 36)


def test_developer_embeddings_inline(
    batchsim: BatchSim, on_developer: genai.Client
) -> None:
    made = on_developer.batches.create_embeddings(
        model="gemini-embedding-2",
        src={
            "inlined_requests": {
                "contents": ["one text", "another"],
                "config": {"output_dimensionality": 5},
            }
        },
    )
    batchsim.clock.advance(60)

    job = again(on_developer, made)

    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    sizes = [
        len(there(there(there(one.response).embedding).values))
        for one in there(there(job.dest).inlined_embed_content_responses)
    ]
    assert sizes == [5, 5]


def test_developer_embeddings_of_a_file(
    batchsim: BatchSim, on_developer: genai.Client
) -> None:
    line = {"key": "a", "request": {"content": {"parts": [{"text": "one text"}]}}}
    file = on_developer.files.upload(
        file=io.BytesIO(json.dumps(line).encode()),
        config={"mime_type": "application/jsonl"},
    )

    made = on_developer.batches.create_embeddings(
        model="gemini-embedding-2", src={"file_name": file.name}
    )
    batchsim.clock.advance(60)

    job = again(on_developer, made)
    answer = json.loads(
        on_developer.files.download(file=there(there(job.dest).file_name))
    )
    assert len(answer["response"]["embedding"]["values"]) == 3072


def test_developer_list_page_cancel_and_delete(
    batchsim: BatchSim, on_developer: genai.Client
) -> None:
    names = [
        there(
            on_developer.batches.create(
                model="gemini-3.8-flash", src=inline({"contents": f"{n}"})
            ).name
        )
        for n in range(5)
    ]

    listed = [job.name for job in on_developer.batches.list(config={"page_size": 2})]
    on_developer.batches.cancel(name=names[0])
    cancelled = on_developer.batches.get(name=names[0])
    on_developer.batches.delete(name=names[0])

    assert listed == names[::-1]
    assert cancelled.state == types.JobState.JOB_STATE_CANCELLED
    with pytest.raises(errors.ClientError, match="404 NOT_FOUND"):
        on_developer.batches.get(name=names[0])


def test_developer_webhook_config_of_the_sdk_is_accepted(
    batchsim: BatchSim, on_developer: genai.Client
) -> None:
    made = on_developer.batches.create(
        model="gemini-3.8-flash",
        src=inline({"contents": "hi"}),
        config=types.CreateBatchJobConfig(
            webhook_config=types.WebhookConfig(
                uris=["https://example.com"], user_metadata={"a": "b"}
            )
        ),
    )

    assert made.state == types.JobState.JOB_STATE_PENDING


def test_the_sdk_meets_faults_as_it_would_meet_them_at_google(
    batchsim: BatchSim, on_developer: genai.Client
) -> None:
    on_developer.batches.create(model="gemini-3.8-flash", src=inline({"contents": "a"}))
    batchsim.faults.add("rate_limited", op="create", count=1)
    batchsim.faults.add("list_empty_page", where="first")

    with pytest.raises(errors.ClientError, match="429 RESOURCE_EXHAUSTED"):
        on_developer.batches.create(
            model="gemini-3.8-flash", src=inline({"contents": "b"})
        )
    listed = list(on_developer.batches.list(config={"page_size": 1}))

    assert len(listed) == 1
