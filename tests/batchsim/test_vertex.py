"""Vertex's resources, lists and errors, exactly as the API writes them."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.batchsim.drive import GEMINI, JOBS, Vertex, http, row, rows

MICROSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_a_new_job_looks_as_a_real_one_does(vertex: Vertex) -> None:
    body = vertex.body(labels={"team": "a"})

    job = vertex.post(JOBS, body)

    name = re.fullmatch(
        r"projects/\d+/locations/us-central1/batchPredictionJobs/\d{19}",
        job.pop("name"),
    )
    assert name
    created = job.pop("createTime")
    assert MICROSECONDS.fullmatch(created)
    assert job.pop("updateTime") == created
    assert job == {
        **body,
        "state": "JOB_STATE_PENDING",
        "modelVersionId": "1",
        "encryptionSpec": {},
    }


def test_a_finished_job_looks_as_a_real_one_does(vertex: Vertex) -> None:
    bad = {"request": {"contents": [{"role": "user"}]}}

    job = vertex.run([row("a"), row("b"), bad])

    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert job["completionStats"] == {"successfulCount": "2", "failedCount": "1"}
    directory = job["outputInfo"]["gcsOutputDirectory"]
    stamp = directory.removeprefix(f"gs://{vertex.bucket.name}/out/prediction-model-")
    assert MICROSECONDS.fullmatch(stamp)
    assert vertex.bucket.names("out/") == [
        f"out/prediction-model-{stamp}/predictions.jsonl"
    ]
    times = [job[name] for name in ("createTime", "startTime", "endTime", "updateTime")]
    assert all(MICROSECONDS.fullmatch(time) for time in times)
    assert times == sorted(times)
    # The directory's time is about two seconds before the job's.
    lead = datetime.fromisoformat(times[0]) - datetime.fromisoformat(stamp)
    assert timedelta(seconds=1) < lead < timedelta(seconds=3)


def test_both_versions_any_location_and_project_number_lead_to_a_job(
    vertex: Vertex,
) -> None:
    path = "/v1beta1/projects/my-project/locations/global/batchPredictionJobs"

    made = vertex.post(path, vertex.body())

    assert "/locations/global/" in made["name"]
    assert http.get(f"{vertex.sim.url}/v1/{made['name']}").status_code == 200
    id = made["name"].rpartition("/")[2]
    assert http.get(f"{vertex.sim.url}{path}/{id}").status_code == 200


def test_a_job_is_not_found_in_another_location_or_project(vertex: Vertex) -> None:
    name = vertex.create()["name"]
    elsewhere = name.replace("us-central1", "europe-west4")
    others = re.sub(r"projects/\d+", "projects/other", name)

    for wrong in (elsewhere, others, name + "1"):
        answer = http.get(f"{vertex.sim.url}/v1/{wrong}")

        assert answer.status_code == 404
        assert answer.json()["error"]["status"] == "NOT_FOUND"


def test_snake_case_is_read_as_camel_case_is(vertex: Vertex) -> None:
    uris = [vertex.bucket.put(rows(1))]
    job = vertex.post(
        JOBS,
        {
            "display_name": "snake",
            "model": GEMINI,
            "input_config": {
                "instances_format": "jsonl",
                "gcs_source": {"uris": uris},
            },
            "output_config": {
                "predictions_format": "jsonl",
                "gcs_destination": {
                    "output_uri_prefix": f"gs://{vertex.bucket.name}/out"
                },
            },
        },
    )

    assert job["displayName"] == "snake"
    assert job["inputConfig"]["gcsSource"]["uris"] == uris


def test_one_value_is_accepted_for_a_repeated_field(vertex: Vertex) -> None:
    body = vertex.body()
    body["inputConfig"]["gcsSource"]["uris"] = vertex.bucket.put(rows(1))

    name = vertex.post(JOBS, body)["name"]
    vertex.sim.clock.advance(60)

    job = vertex.get(name)
    assert job["inputConfig"]["gcsSource"]["uris"] == [
        f"gs://{vertex.bucket.name}/in.jsonl"
    ]
    assert job["state"] == "JOB_STATE_SUCCEEDED"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"foo": 1}, "batch_prediction_job"),
        (
            {"instanceConfig": {"keyField": "k", "foo": 1}},
            "batch_prediction_job.instance_config",
        ),
        (
            {"inputConfig": {"gcsSource": {"foo": 1}}},
            "batch_prediction_job.input_config.gcs_source",
        ),
    ],
)
def test_an_unknown_member_is_refused_at_every_depth(
    vertex: Vertex, change: dict[str, Any], field: str
) -> None:
    error = vertex.refused(vertex.body(**change))

    assert error["message"] == (
        f"Invalid JSON payload received. Unknown name \"foo\" at '{field}': "
        "Cannot find field."
    )
    assert error["details"][0]["fieldViolations"][0]["field"] == field
    assert vertex.all() == []


@pytest.mark.parametrize(
    ("change", "code", "status", "named"),
    [
        ({"displayName": ""}, 400, "INVALID_ARGUMENT", "display_name"),
        ({"model": ""}, 400, "INVALID_ARGUMENT", "model"),
        ({"model": "gemini-4-argon"}, 400, "INVALID_ARGUMENT", "'gemini-4-argon'"),
        (
            {"model": "publishers/google/models/nonesuch"},
            404,
            "NOT_FOUND",
            "The PublisherModel nonesuch does not exist.",
        ),
        (
            {"model": "publishers/nobody/models/gemini-4-argon"},
            404,
            "NOT_FOUND",
            "does not exist",
        ),
        ({"inputConfig": {}}, 400, "INVALID_ARGUMENT", "input_config"),
        (
            {"inputConfig": {"gcsSource": {"uris": ["gs://b/o"]}}},
            400,
            "INVALID_ARGUMENT",
            "instances_format",
        ),
        (
            {
                "inputConfig": {
                    "instancesFormat": "jsonl",
                    "gcsSource": {"uris": ["/tmp/file"]},
                }
            },
            400,
            "INVALID_ARGUMENT",
            "'/tmp/file'",
        ),
        (
            {
                "inputConfig": {
                    "instancesFormat": "bigquery",
                    "bigquerySource": {"inputUri": "bq://p.d"},
                }
            },
            400,
            "INVALID_ARGUMENT",
            "bq://PROJECT.DATASET.TABLE",
        ),
        ({"outputConfig": {}}, 400, "INVALID_ARGUMENT", "output_config"),
        ({"labels": {"Upper": "x"}}, 400, "INVALID_ARGUMENT", "labels"),
        ({"labels": {"k": "v" * 65}}, 400, "INVALID_ARGUMENT", "labels"),
        ({"priority": 5}, 400, "INVALID_ARGUMENT", 'Unknown name "priority"'),
        ({"endpoint": "e"}, 400, "INVALID_ARGUMENT", 'Unknown name "endpoint"'),
    ],
)
def test_a_bad_create_is_refused_and_makes_no_job(
    vertex: Vertex, change: dict[str, object], code: int, status: str, named: str
) -> None:
    error = vertex.refused(vertex.body(None, **change))

    assert (error["code"], error["status"]) == (code, status)
    assert named in error["message"]
    assert vertex.page() == {}


def test_a_body_that_is_not_json_is_refused(vertex: Vertex) -> None:
    answer = http.post(vertex.sim.url + JOBS, content=b"{")

    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_partner_models_are_refused_in_global(vertex: Vertex) -> None:
    path = JOBS.replace("us-central1", "global")
    model = "publishers/anthropic/models/claude-sonnet-4"

    error = vertex.refused(vertex.body(model=model), path)

    assert error["code"] == 400
    assert "global" in error["message"]


def test_a_fifth_claude_job_of_a_project_is_over_its_quota(vertex: Vertex) -> None:
    model = "publishers/anthropic/models/claude-sonnet-4"
    jobs = [vertex.create(model=model) for _ in range(4)]

    error = vertex.refused(vertex.body(model=model))
    vertex.cancel(jobs[0]["name"])
    allowed = vertex.create(model=model)

    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert allowed["state"] == "JOB_STATE_PENDING"


def test_an_unknown_path_answers_404_in_googles_way(vertex: Vertex) -> None:
    answer = http.get(f"{vertex.sim.url}/v2/nothing")

    assert answer.status_code == 404
    assert answer.json()["error"]["status"] == "NOT_FOUND"


def test_an_empty_list_is_an_empty_object(vertex: Vertex) -> None:
    assert vertex.page() == {}


def test_pages_are_newest_first_and_together_hold_every_job_once(
    vertex: Vertex,
) -> None:
    for n in range(7):
        vertex.create(displayName=f"job {n}")

    first = vertex.page(pageSize=3)
    vertex.create(displayName="made meanwhile")
    second = vertex.page(pageSize=3, pageToken=first["nextPageToken"])
    third = vertex.page(pageSize=3, pageToken=second["nextPageToken"])

    seen = [
        job["displayName"]
        for page in (first, second, third)
        for job in page["batchPredictionJobs"]
    ]
    assert seen == [f"job {n}" for n in range(6, -1, -1)]
    assert "nextPageToken" not in third


def test_no_page_holds_more_than_100_jobs(vertex: Vertex) -> None:
    for _ in range(101):
        vertex.create()

    assert len(vertex.page()["batchPredictionJobs"]) == 100
    assert len(vertex.page(pageSize=5000)["batchPredictionJobs"]) == 100
    assert len(vertex.all()) == 101


@pytest.mark.parametrize("token", ["nonsense", "WzEsMl0=", "!!"])
def test_a_page_token_that_no_list_gave_is_refused(vertex: Vertex, token: str) -> None:
    answer = http.get(vertex.sim.url + JOBS, params={"pageToken": token})

    assert answer.status_code == 400


def test_a_page_token_of_another_filter_is_refused(vertex: Vertex) -> None:
    vertex.create()
    vertex.create()
    token = vertex.page(pageSize=1)["nextPageToken"]

    query = {"pageToken": token, "filter": 'display_name="my job"'}
    answer = http.get(vertex.sim.url + JOBS, params=query)

    assert answer.status_code == 400


def test_a_list_is_filtered_by_label_state_and_creation_time(vertex: Vertex) -> None:
    vertex.create(displayName="old", labels={"batchdrop_job": "a"})
    vertex.sim.clock.advance(hours=1)
    since = vertex.sim.clock.now().isoformat()
    vertex.create(displayName="new", labels={"batchdrop_job": "b"})
    vertex.create(displayName="plain")

    assert vertex.names(filter="labels.batchdrop_job:*") == ["new", "old"]
    assert vertex.names(filter="labels.batchdrop_job=a") == ["old"]
    assert vertex.names(filter=f'create_time>="{since}"') == ["new", "plain"]
    # The job of an hour ago found no input.
    assert vertex.names(filter='state="JOB_STATE_FAILED"') == ["old"]
    both = f'labels.batchdrop_job:* AND create_time>="{since}"'
    assert vertex.names(filter=both) == ["new"]
    assert vertex.names(filter='NOT (display_name="new" OR display_name="old")') == [
        "plain"
    ]


def test_a_bad_filter_is_refused(vertex: Vertex) -> None:
    answer = http.get(vertex.sim.url + JOBS, params={"filter": "nonsense"})

    assert answer.status_code == 400
    assert "nonsense" in answer.json()["error"]["message"]


def test_a_read_mask_leaves_only_what_it_names(vertex: Vertex) -> None:
    made = vertex.create()

    (job,) = vertex.page(readMask="name,input_config.instancesFormat")[
        "batchPredictionJobs"
    ]

    assert job == {
        "name": made["name"],
        "inputConfig": {"instancesFormat": "jsonl"},
    }


def test_a_pending_job_is_cancelled_at_once(vertex: Vertex) -> None:
    name = vertex.create(rows(1))["name"]

    answer = vertex.cancel(name)

    job = vertex.get(name)
    assert (answer.status_code, answer.json()) == (200, {})
    assert job["state"] == "JOB_STATE_CANCELLED"
    assert job["error"] == {"code": 1, "message": "CANCELED"}
    assert job["endTime"] == job["updateTime"]
    assert "startTime" not in job
    assert "completionStats" not in job


def test_a_running_job_that_is_cancelled_leaves_what_it_had_finished(
    vertex: Vertex,
) -> None:
    vertex.sim.settings.run_seconds = 100
    name = vertex.create(rows(10))["name"]
    vertex.sim.clock.advance(2 + 30)

    vertex.cancel(name)

    job = vertex.get(name)
    assert job["state"] == "JOB_STATE_CANCELLED"
    assert job["completionStats"] == {"successfulCount": "3", "incompleteCount": "7"}
    keys = sorted(line["key"] for line in vertex.bucket.answers(job))
    assert keys == ["k0", "k1", "k2"]


@pytest.mark.parametrize("after", [0, 10])
def test_a_cancelled_job_stays_cancelled(vertex: Vertex, after: float) -> None:
    vertex.sim.settings.run_seconds = 100
    name = vertex.create(rows(10))["name"]
    vertex.sim.clock.advance(after)
    vertex.cancel(name)
    job = vertex.get(name)

    vertex.sim.clock.advance(hours=100)

    assert job["state"] == "JOB_STATE_CANCELLED"
    assert vertex.get(name) == job


@pytest.mark.parametrize("prefix", ["out", "out/", "deep/er", ""])
def test_a_prefix_is_a_directory_with_or_without_its_slash(
    vertex: Vertex, prefix: str
) -> None:
    destination = {"outputUriPrefix": f"gs://{vertex.bucket.name}/{prefix}"}
    config = {"predictionsFormat": "jsonl", "gcsDestination": destination}

    job = vertex.run(rows(1), outputConfig=config)

    (name,) = (name for name in vertex.bucket.names() if name != "in.jsonl")
    assert re.fullmatch(
        f"({prefix.rstrip('/')}/|)prediction-model-[^/]*/predictions.jsonl", name
    )
    assert job["outputInfo"]["gcsOutputDirectory"].count("//") == 1


def test_a_finished_job_can_not_be_cancelled(vertex: Vertex) -> None:
    job = vertex.run(rows(1))

    answer = vertex.cancel(job["name"])

    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "FAILED_PRECONDITION"
    assert vertex.get(job["name"]) == job


def test_a_job_is_deleted_by_an_operation_that_can_be_fetched(vertex: Vertex) -> None:
    job = vertex.run(rows(1))

    operation = vertex.delete(job["name"]).json()

    parent = job["name"].partition("/batchPredictionJobs/")[0]
    assert re.fullmatch(parent + r"/operations/\d{19}", operation["name"])
    assert operation["done"] is True
    assert operation["response"] == {
        "@type": "type.googleapis.com/google.protobuf.Empty"
    }
    kind = "type.googleapis.com/google.cloud.aiplatform.v1.DeleteOperationMetadata"
    assert operation["metadata"]["@type"] == kind
    assert set(operation["metadata"]["genericMetadata"]) == {"createTime", "updateTime"}
    assert vertex.get(operation["name"]) == operation
    gone = http.get(f"{vertex.sim.url}/v1/{job['name']}")
    assert gone.status_code == 404
    assert vertex.page() == {}
    assert vertex.bucket.answers(job) != []


def test_an_unfinished_job_can_not_be_deleted(vertex: Vertex) -> None:
    name = vertex.create()["name"]

    answer = vertex.delete(name)

    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "FAILED_PRECONDITION"
    assert vertex.get(name)["state"] == "JOB_STATE_PENDING"


def test_two_jobs_of_one_moment_and_one_prefix_write_to_two_directories(
    vertex: Vertex,
) -> None:
    one, two = vertex.create(rows(1)), vertex.create(rows(1))

    vertex.sim.clock.advance(60)

    directories = {
        vertex.get(job["name"])["outputInfo"]["gcsOutputDirectory"]
        for job in (one, two)
    }
    assert len(directories) == 2


def test_generated_clients_get_the_state_as_a_number_if_they_ask(
    vertex: Vertex,
) -> None:
    name = vertex.create()["name"]

    answer = http.get(
        f"{vertex.sim.url}/v1/{name}", params={"$alt": "json;enum-encoding=int"}
    )

    assert answer.json()["state"] == 2
