"""The Developer API's operations and errors, exactly as the API writes them."""

import json
import math
import re
from typing import Any

import pytest

from tests.batchsim.drive import Developer, http, row

GENERATE = (
    "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch"
)
EMBED = "type.googleapis.com/google.ai.generativelanguage.v1main.EmbedContentBatch"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


def test_a_new_batch_is_an_operation_that_is_not_done(developer: Developer) -> None:
    operation = developer.inline(3, displayName="my-batch")

    name = operation["name"]
    assert re.fullmatch(r"batches/[a-z0-9]{36}", name)
    metadata = operation["metadata"]
    assert TIME.fullmatch(metadata["createTime"])
    assert metadata.pop("createTime") == metadata.pop("updateTime")
    assert operation == {
        "name": name,
        "metadata": {
            "@type": GENERATE,
            "model": "models/gemini-3.8-flash",
            "displayName": "my-batch",
            "batchStats": {"requestCount": "3", "pendingRequestCount": "3"},
            "state": "BATCH_STATE_PENDING",
            "name": name,
        },
    }


def test_an_inline_batch_answers_in_metadata_and_in_response(
    developer: Developer,
) -> None:
    name = developer.inline(2)["name"]
    developer.sim.clock.advance(60)

    operation = developer.get(name)

    metadata = operation["metadata"]
    assert operation["done"] is True
    assert metadata["state"] == "BATCH_STATE_SUCCEEDED"
    assert metadata["batchStats"] == {
        "requestCount": "2",
        "successfulRequestCount": "2",
    }
    assert TIME.fullmatch(metadata["endTime"])
    assert "inputConfig" not in metadata
    assert operation["response"]["@type"] == GENERATE + "Output"
    output = metadata["output"]
    assert operation["response"]["inlinedResponses"] == output["inlinedResponses"]
    items = output["inlinedResponses"]["inlinedResponses"]
    assert [item["metadata"] for item in items] == [{"key": "k0"}, {"key": "k1"}]
    candidate = items[1]["response"]["candidates"][0]
    assert candidate == {
        "content": {"role": "model", "parts": [{"text": "row 1"}]},
        "finishReason": "STOP",
        "index": 0,
    }


def test_an_inline_request_that_fails_has_an_error_and_its_metadata(
    developer: Developer,
) -> None:
    items = [{"request": {"contents": []}, "metadata": {"key": "bad"}}]

    name = developer.create({"inputConfig": {"requests": {"requests": items}}})["name"]
    developer.sim.clock.advance(60)

    operation = developer.get(name)
    (item,) = operation["response"]["inlinedResponses"]["inlinedResponses"]
    assert item["error"]["code"] == 3
    assert item["metadata"] == {"key": "bad"}
    assert operation["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert operation["metadata"]["batchStats"]["failedRequestCount"] == "1"


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
def test_a_file_batch_leaves_a_file_named_after_it(
    developer: Developer, version: str
) -> None:
    developer.version = version
    file = developer.upload([row(f"row {n}", key=f"k{n}") for n in range(3)])
    name = developer.create({"input_config": {"file_name": file}})["name"]
    developer.sim.clock.advance(60)

    operation = developer.get(name)

    result = "files/batch-" + name.removeprefix("batches/")
    assert operation["metadata"]["inputConfig"] == {"fileName": file}
    assert operation["metadata"]["output"] == {"responsesFile": result}
    assert operation["response"] == {
        "@type": GENERATE + "Output",
        "responsesFile": result,
    }
    lines = [json.loads(line) for line in developer.download(result).splitlines()]
    assert all(set(line) == {"response", "key"} for line in lines)
    keys = [line["key"] for line in lines]
    assert sorted(keys) == ["k0", "k1", "k2"]
    assert keys != sorted(keys)


def test_a_line_of_a_file_that_fails_has_an_error_and_its_key(
    developer: Developer,
) -> None:
    file = developer.upload([{"key": "bad", "request": {"contents": []}}])
    name = developer.create({"inputConfig": {"fileName": file}})["name"]
    developer.sim.clock.advance(60)

    result = developer.get(name)["response"]["responsesFile"]

    line = json.loads(developer.download(result))
    assert set(line) == {"error", "key"}
    assert line["error"]["code"] == 3


def test_contents_need_no_role(developer: Developer) -> None:
    request = {"contents": [{"parts": [{"text": "no role"}]}]}
    file = developer.upload([{"key": "k", "request": request}])
    name = developer.create({"inputConfig": {"fileName": file}})["name"]
    developer.sim.clock.advance(60)

    stats = developer.get(name)["metadata"]["batchStats"]

    assert stats == {"requestCount": "1", "successfulRequestCount": "1"}


def embeddings(developer: Developer, config: Any) -> dict[str, Any]:
    answer = developer.request(
        "POST",
        "models/gemini-embedding-2:asyncBatchEmbedContent",
        json={"batch": {"input_config": config}},
    )
    assert answer.status_code == 200, answer.text
    developer.sim.clock.advance(60)
    return developer.get(answer.json()["name"])


def test_inline_embeddings_come_back_with_their_metadata(developer: Developer) -> None:
    request = {"content": {"parts": [{"text": "1"}]}, "output_dimensionality": 3}
    items = [{"request": request, "metadata": {"key": "k"}}]

    operation = embeddings(developer, {"requests": {"requests": items}})

    assert operation["metadata"]["@type"] == EMBED
    assert operation["response"]["@type"] == EMBED + "Output"
    (item,) = operation["response"]["inlinedResponses"]["inlinedResponses"]
    values = item["response"]["embedding"]["values"]
    assert len(values) == 3
    assert math.isclose(math.hypot(*values), 1, abs_tol=1e-6)
    assert item["response"]["usageMetadata"] == {"promptTokenCount": 1}
    assert item["metadata"] == {"key": "k"}


def test_embeddings_of_a_file_come_back_with_their_key_and_token_count(
    developer: Developer,
) -> None:
    request = {"output_dimensionality": 3, "content": {"parts": [{"text": "1"}]}}
    file = developer.upload([{"key": "request_1", "request": request}])

    operation = embeddings(developer, {"file_name": file})

    line = json.loads(developer.download(operation["response"]["responsesFile"]))
    assert line["key"] == "request_1"
    assert line["response"]["tokenCount"] == "1"
    assert len(line["response"]["embedding"]["values"]) == 3


def test_a_list_leaves_inlined_responses_out_and_shows_result_files(
    developer: Developer,
) -> None:
    file = developer.upload([row(key="k")])
    inline = developer.inline()["name"]
    of_file = developer.create({"inputConfig": {"fileName": file}})["name"]
    developer.sim.clock.advance(60)

    listed = {
        one["name"]: one
        for one in developer.request("GET", "batches").json()["operations"]
    }

    assert listed[inline]["done"] is True
    assert "output" not in listed[inline]["metadata"]
    assert "response" not in listed[inline]
    assert "responsesFile" in listed[of_file]["response"]


def test_pages_of_batches_hold_each_one_once(developer: Developer) -> None:
    names = [developer.inline()["name"] for _ in range(5)]

    seen, token = [], ""
    while True:
        query = {"pageSize": "2", "pageToken": token}
        page = developer.request("GET", "batches", params=query).json()
        seen += [one["name"] for one in page["operations"]]
        token = page.get("nextPageToken", "")
        if not token:
            break

    assert seen == names[::-1]


def test_an_empty_list_of_batches_is_an_empty_object(developer: Developer) -> None:
    assert developer.request("GET", "batches").json() == {}


def test_cancelling_ends_a_batch_at_once(developer: Developer) -> None:
    name = developer.inline()["name"]

    answer = developer.request("POST", f"{name}:cancel")

    operation = developer.get(name)
    assert (answer.status_code, answer.json()) == (200, {})
    assert operation["done"] is True
    assert operation["metadata"]["state"] == "BATCH_STATE_CANCELLED"
    assert operation["error"]["code"] == 1


def test_a_deleted_batch_is_gone(developer: Developer) -> None:
    name = developer.inline()["name"]
    developer.sim.clock.advance(60)

    answer = developer.request("DELETE", name)

    assert (answer.status_code, answer.json()) == (200, {})
    gone = developer.request("GET", name)
    assert gone.status_code == 404
    assert gone.json()["error"]["status"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("seconds", "state"), [(0, "BATCH_STATE_PENDING"), (3, "BATCH_STATE_RUNNING")]
)
def test_an_unfinished_batch_cannot_be_deleted(
    developer: Developer, seconds: int, state: str
) -> None:
    name = developer.inline()["name"]
    developer.sim.clock.advance(seconds)

    answer = developer.request("DELETE", name)

    error = answer.json()["error"]
    assert (answer.status_code, error["status"]) == (400, "FAILED_PRECONDITION")
    assert state in error["message"]
    assert developer.get(name)["metadata"]["state"] == state


def test_a_failed_batch_has_an_error_in_place_of_a_response(
    developer: Developer,
) -> None:
    file = developer.upload([row(key="k")], name="files/mine")
    name = developer.create({"inputConfig": {"fileName": file}})["name"]
    developer.request("DELETE", file)
    developer.upload("no json\n", name="files/mine")
    developer.sim.clock.advance(60)

    operation = developer.get(name)

    assert operation["done"] is True
    assert operation["metadata"]["state"] == "BATCH_STATE_FAILED"
    assert operation["error"]["code"] == 3
    assert "response" not in operation


def test_a_file_that_is_deleted_before_the_batch_runs_fails_it(
    developer: Developer,
) -> None:
    file = developer.upload([row(key="k")])
    name = developer.create({"inputConfig": {"fileName": file}})["name"]
    developer.request("DELETE", file)
    developer.sim.clock.advance(60)

    operation = developer.get(name)

    assert operation["metadata"]["state"] == "BATCH_STATE_FAILED"
    assert "output" not in operation["metadata"]


def test_webhook_and_priority_are_accepted_and_kept(developer: Developer) -> None:
    hook = {"uris": ["https://example.com/hook"], "user_metadata": {"my_id": "7"}}

    name = developer.inline(1, webhookConfig=hook, priority=-2)["name"]

    metadata = developer.get(name)["metadata"]
    assert metadata["webhookConfig"] == {
        "uris": ["https://example.com/hook"],
        "userMetadata": {"my_id": "7"},
    }
    assert metadata["priority"] == "-2"
    (job,) = http.get(f"{developer.sim.url}/_sim/jobs").json()["jobs"]
    assert job["webhookConfig"]["uris"] == ["https://example.com/hook"]


def refused(developer: Developer, batch: Any, embeds: bool = False) -> dict[str, Any]:
    method = "gemini-4-argon:batchGenerateContent"
    if embeds:
        method = "gemini-embedding-001:asyncBatchEmbedContent"
    answer = developer.request("POST", f"models/{method}", json={"batch": batch})
    assert answer.status_code == 400, answer.text
    assert developer.request("GET", "batches").json() == {}
    return dict(answer.json()["error"])


@pytest.mark.parametrize("embeds", [False, True])
def test_a_name_that_an_inline_request_lacks_is_refused_with_its_path(
    developer: Developer, embeds: bool
) -> None:
    content = {"parts": [{"text": "t"}], "metadata": 1}
    request = {"content": content} if embeds else {"contents": [content]}
    items = [{"request": {}}, {"request": request}]

    error = refused(
        developer, {"inputConfig": {"requests": {"requests": items}}}, embeds
    )

    path = "batch.input_config.requests.requests[1].request"
    path += ".content" if embeds else ".contents[0]"
    assert error["status"] == "INVALID_ARGUMENT"
    assert error["message"] == (
        f"Invalid JSON payload received. Unknown name \"metadata\" at '{path}': "
        "Cannot find field."
    )


def test_a_line_of_a_file_that_cannot_be_read_is_refused_with_its_number(
    developer: Developer,
) -> None:
    flat = {"thinking_config": {"thinking_budget": 0}}
    bad_enum = {"safetySettings": [{"threshold": "NONE"}]}
    file = developer.upload(
        "\n".join(
            [
                json.dumps(row(key="good", own=[1], request_id=7)),
                "",
                json.dumps({"key": "k", "request": flat}),
                json.dumps({"key": "k", "request": bad_enum}),
                json.dumps({"key": "k"}),
                '{"key": "k",',
                "[1]",
            ]
        )
    )

    error = refused(developer, {"inputConfig": {"fileName": file}})

    assert error["message"].splitlines() == [
        "Error on line 3: invalid JSON, near column 26: no such field: "
        "'thinking_config'",
        "Error on line 4: invalid JSON, near column 46: Invalid value at "
        "'safety_settings[0].threshold' (TYPE_ENUM), \"NONE\"",
        "Error on line 5: invalid JSON, near column 1: missing field: 'request'",
        "Error on line 6: invalid JSON, near column 12: syntax error",
        "Error on line 7: invalid JSON, near column 1: expected an object",
    ]


def test_an_error_lists_the_first_bad_lines_of_a_file_only(
    developer: Developer,
) -> None:
    file = developer.upload('{"key": "k"}\n' * 1000)

    error = refused(developer, {"inputConfig": {"fileName": file}})

    assert len(error["message"].splitlines()) == 10


def test_a_file_without_requests_is_refused(developer: Developer) -> None:
    file = developer.upload("\n \n")

    error = refused(developer, {"inputConfig": {"fileName": file}})

    assert "has no requests" in error["message"]


def test_openai_style_lines_are_answered_in_their_own_shape(
    developer: Developer,
) -> None:
    developer.sim.faults.add("row_failed", match={"row_text": "bad"}, code=400)
    developer.sim.faults.add("row_empty", match={"row_text": "deep"}, thoughts=True)
    asked = [
        {
            "custom_id": text,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"messages": [{"role": "user", "content": text}]},
            "mine": 1,
        }
        for text in ("good", "bad", "deep")
    ]
    file = developer.upload(asked)
    name = developer.create({"inputConfig": {"fileName": file}})["name"]
    developer.sim.clock.advance(60)

    answered = developer.get(name)["response"]["responsesFile"]

    lines = map(json.loads, developer.download(answered).splitlines())
    found = {line.pop("custom_id"): line for line in lines}
    assert all(line.keys() == {"response"} for line in found.values())
    codes = {key: line["response"]["status_code"] for key, line in found.items()}
    assert codes == {"good": 200, "bad": 400, "deep": 200}
    body = found["good"]["response"]["body"]
    assert body["choices"][0]["message"]["content"] == "good"
    assert body["usage"] == {
        "promptTokens": 1,
        "completionTokens": 1,
        "totalTokens": 2,
    }
    usage = found["deep"]["response"]["body"]["usage"]
    assert usage["totalTokens"] > usage["promptTokens"] + usage["completionTokens"]
    assert "message" in found["bad"]["response"]["body"]["error"]


def test_a_file_does_not_mix_openai_style_lines_with_others(
    developer: Developer,
) -> None:
    body = {"messages": [{"role": "user", "content": "a"}]}
    asked = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    file = developer.upload([row(key="k"), asked])
    name = developer.create({"inputConfig": {"fileName": file}})["name"]
    developer.sim.clock.advance(60)

    assert "row 2 has no `request`" in developer.get(name)["error"]["message"]


def test_a_bad_line_is_read_in_a_file_of_many_pieces(developer: Developer) -> None:
    good = json.dumps(row("x" * 1000, key="k")) + "\n"
    file = developer.upload(good * 600 + '{"key": "k", "request": {"prompt": 1}}')

    error = refused(developer, {"inputConfig": {"fileName": file}})

    assert error["message"].startswith("Error on line 601: ")


def test_one_value_is_accepted_for_a_repeated_field(developer: Developer) -> None:
    item = {"request": row("hello")["request"]}

    name = developer.create(
        {
            "inputConfig": {"requests": {"requests": item}},
            "webhookConfig": {"uris": "https://example.com/hook"},
        }
    )["name"]
    developer.sim.clock.advance(60)

    metadata = developer.get(name)["metadata"]
    assert metadata["webhookConfig"] == {"uris": ["https://example.com/hook"]}
    assert metadata["batchStats"]["successfulRequestCount"] == "1"


ITEMS: dict[str, Any] = {"requests": {"requests": [{"request": {"contents": []}}]}}


@pytest.mark.parametrize(
    ("model", "batch", "code", "named"),
    [
        ("nonesuch", {"inputConfig": ITEMS}, 404, "models/nonesuch is not found"),
        ("gemini-embedding-2", {"inputConfig": ITEMS}, 404, "batchGenerateContent"),
        ("gemini-4-argon", {}, 400, "input_config"),
        ("gemini-4-argon", {"inputConfig": {}}, 400, "one of file_name and requests"),
        (
            "gemini-4-argon",
            {"inputConfig": {"fileName": "files/a", **ITEMS}},
            400,
            "one of file_name and requests",
        ),
        (
            "gemini-4-argon",
            {"inputConfig": {"requests": {"requests": []}}},
            400,
            "at least one",
        ),
        (
            "gemini-4-argon",
            {"inputConfig": {"requests": {"requests": [{"metadata": {}}]}}},
            400,
            "requests[0]",
        ),
        (
            "gemini-4-argon",
            {"inputConfig": {"requests": {"requests": [{"key": "k", "request": {}}]}}},
            400,
            "Unknown name \"key\" at 'batch.input_config.requests.requests[0]'",
        ),
        (
            "gemini-4-argon",
            {"inputConfig": ITEMS, "webhookConfig": {"uri": "u"}},
            400,
            "Unknown name \"uri\" at 'batch.webhook_config'",
        ),
        (
            "gemini-4-argon",
            {"inputConfig": ITEMS, "displayName": 7},
            400,
            "Invalid value at 'batch.display_name' (TYPE_STRING), 7",
        ),
        (
            "gemini-4-argon",
            {"inputConfig": {"fileName": "files/nonesuch"}},
            404,
            "files/nonesuch",
        ),
        (
            "gemini-4-argon",
            {"inputConfig": ITEMS, "labels": {}},
            400,
            'Unknown name "labels"',
        ),
    ],
)
def test_a_bad_create_is_refused_and_makes_no_batch(
    developer: Developer, model: str, batch: dict[str, Any], code: int, named: str
) -> None:
    path = f"models/{model}:batchGenerateContent"

    answer = developer.request("POST", path, json={"batch": batch})

    assert answer.status_code == code
    assert named in answer.json()["error"]["message"]
    assert developer.request("GET", "batches").json() == {}


def test_tuned_models_are_accepted(developer: Developer) -> None:
    answer = developer.request(
        "POST",
        "tunedModels/mine:batchGenerateContent",
        json={"batch": {"inputConfig": ITEMS}},
    )

    assert answer.json()["metadata"]["model"] == "tunedModels/mine"


def test_a_request_over_the_limit_is_refused(developer: Developer) -> None:
    developer.sim.settings.limits.inline_bytes = 200

    answer = developer.request(
        "POST",
        "models/gemini-4-argon:batchGenerateContent",
        json={"batch": {"inputConfig": ITEMS, "displayName": "x" * 200}},
    )

    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert message == "Request payload size exceeds the limit: 200 bytes."


def test_the_101st_active_batch_is_over_the_quota(developer: Developer) -> None:
    first = developer.inline()["name"]
    for _ in range(99):
        developer.inline()

    path = "models/gemini-4-argon:batchGenerateContent"
    over = developer.request("POST", path, json={"batch": {"inputConfig": ITEMS}})
    developer.request("POST", f"{first}:cancel")
    again = developer.request("POST", path, json={"batch": {"inputConfig": ITEMS}})

    error = over.json()["error"]
    assert (over.status_code, error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert error["message"].startswith("You exceeded your current quota")
    assert error["details"][0]["@type"] == "type.googleapis.com/google.rpc.Help"
    assert again.status_code == 200


def test_queued_tokens_of_a_model_are_limited_as_set(developer: Developer) -> None:
    developer.sim.settings.limits.queued_tokens = {"gemini-4-argon*": 100}
    text = {"contents": [{"parts": [{"text": "x" * 600}]}]}
    batch = {"inputConfig": {"requests": {"requests": [{"request": text}]}}}

    def create(model: str) -> int:
        path = f"models/{model}:batchGenerateContent"
        answer = developer.request("POST", path, json={"batch": batch})
        return int(answer.status_code)

    assert create("gemini-4-argon") == 429
    assert create("gemini-3.8-flash") == 200


def test_a_key_is_needed_by_header_or_in_the_query(developer: Developer) -> None:
    url = f"{developer.sim.url}/v1beta/batches"

    without = http.get(url)
    in_header = http.get(url, headers={"x-goog-api-key": "k"})
    in_query = http.get(url, params={"key": "k"})

    assert without.status_code == 403
    assert without.json()["error"]["status"] == "PERMISSION_DENIED"
    assert in_header.status_code == in_query.status_code == 200


def test_an_unknown_key_is_refused_if_keys_are_set(developer: Developer) -> None:
    developer.sim.settings.api_keys = frozenset({"right"})

    developer.key = "wrong"
    wrong = developer.request("GET", "batches")
    developer.key = "right"
    right = developer.request("GET", "batches")

    assert wrong.status_code == 400
    assert wrong.json()["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    assert right.status_code == 200


def test_keys_are_left_out_of_the_log(developer: Developer) -> None:
    http.get(f"{developer.sim.url}/v1beta/batches?key=s3cret&pageSize=1")

    log = http.get(f"{developer.sim.url}/_sim/log").text

    assert "pageSize=1" in log
    assert "s3cret" not in log
