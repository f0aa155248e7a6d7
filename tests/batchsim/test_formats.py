"""What answers look like, line by line, for each family of models on Vertex."""

import json
import math
import re
from typing import Any

import pytest

from batchsim import BatchSim, Prompt, RowFailed, template
from tests.batchsim.drive import Vertex, answer_text, row, rows


def test_a_gemini_line_has_the_members_of_a_real_one(vertex: Vertex) -> None:
    job = vertex.run([row("What is batching?", key="k1", custom_id="c1")])

    (line,) = vertex.bucket.answers(job)
    assert line.pop("processed_time").endswith("+00:00")
    response = line.pop("response")
    assert line == {
        "status": "",
        "key": "k1",
        "custom_id": "c1",
        "request": {
            "contents": [{"role": "user", "parts": [{"text": "What is batching?"}]}]
        },
    }
    assert response["candidates"] == [
        {
            "content": {"role": "model", "parts": [{"text": "What is batching?"}]},
            "finishReason": "STOP",
        }
    ]
    assert response["modelVersion"] == "gemini-3.8-flash"
    assert response["createTime"].endswith("Z")
    assert response["usageMetadata"]["promptTokenCount"] == 5


def test_answers_are_not_in_the_order_of_the_input_and_none_is_missing(
    vertex: Vertex,
) -> None:
    job = vertex.run(rows(20))

    keys = [line["key"] for line in vertex.bucket.answers(job)]
    in_order = [f"k{n}" for n in range(20)]
    assert keys != in_order
    assert sorted(keys) == sorted(in_order)


def test_two_rows_never_come_out_in_order(vertex: Vertex) -> None:
    orders = []
    for name in "abcdef":
        job = vertex.run(rows(2), displayName=name)
        orders.append([line["key"] for line in vertex.bucket.answers(job)])

    assert orders == [["k1", "k0"]] * 6


def test_the_same_job_is_answered_the_same_way_twice(vertex: Vertex) -> None:
    def answers() -> list[Any]:
        lines = vertex.bucket.answers(vertex.run(rows(10)))
        return [(line["key"], line["response"]["responseId"]) for line in lines]

    assert answers() == answers()


def test_token_counts_add_up_also_with_a_system_instruction_and_a_picture(
    vertex: Vertex,
) -> None:
    line = row("a picture of what?")
    line["request"]["systemInstruction"] = {"parts": [{"text": "Be brief. " * 10}]}
    picture = {"file_data": {"file_uri": "gs://b/cat.png", "mime_type": "image/png"}}
    line["request"]["contents"][0]["parts"].append(picture)

    job = vertex.run([line])

    (answer,) = vertex.bucket.answers(job)
    usage = answer["response"]["usageMetadata"]
    details = {d["modality"]: d["tokenCount"] for d in usage["promptTokensDetails"]}
    assert details["IMAGE"] > 0
    assert sum(details.values()) == usage["promptTokenCount"]
    assert (
        usage["totalTokenCount"]
        == usage["promptTokenCount"] + usage["candidatesTokenCount"]
    )


def test_a_bad_row_fails_alone_and_the_job_still_succeeds(vertex: Vertex) -> None:
    bad = row("no role", key="bad")
    del bad["request"]["contents"][0]["role"]

    job = vertex.run([row("fine", key="good"), bad])

    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert job["completionStats"] == {"successfulCount": "1", "failedCount": "1"}
    lines = {line["key"]: line for line in vertex.bucket.answers(job)}
    assert lines["bad"]["status"] == (
        'Bad Request: {"error": {"code": 400, "message": '
        '"Please use a valid role: user, model.", "status": "INVALID_ARGUMENT"}}'
    )
    assert "response" not in lines["bad"]
    assert lines["good"]["status"] == ""


def test_a_row_with_a_name_that_the_api_lacks_fails_alone(vertex: Vertex) -> None:
    bad = row("bad", key="bad")
    bad["request"]["generationConfig"] = {"responseSchema": {"type_": "OBJECT"}}

    job = vertex.run([row("good", key="good"), bad])

    answers = {line["key"]: line for line in vertex.bucket.answers(job)}
    assert answers["good"]["status"] == ""
    assert "response" not in answers["bad"]
    found = re.fullmatch(r"Bad Request: (.*)", answers["bad"]["status"])
    assert found
    assert json.loads(found[1])["error"]["message"] == (
        'Invalid JSON payload received. Unknown name "type_" at '
        "'generation_config.response_schema': Cannot find field."
    )


def test_a_chat_row_fails_at_an_embedding_model(vertex: Vertex) -> None:
    job = vertex.run(
        [row(key="k")], model="publishers/google/models/gemini-embedding-001"
    )

    (line,) = vertex.bucket.answers(job)
    assert 'Unknown name \\"contents\\"' in line["status"]
    assert "response" not in line


def test_a_job_whose_only_row_fails_succeeds(vertex: Vertex) -> None:
    job = vertex.run([{"request": {"contents": [{"role": "user", "parts": []}]}}])

    assert job["state"] == "JOB_STATE_SUCCEEDED"
    assert job["completionStats"] == {"failedCount": "1"}


def test_an_explicit_cache_fails_the_row_as_on_vertex(vertex: Vertex) -> None:
    line = row("cached")
    line["request"]["cachedContent"] = "projects/p/locations/l/cachedContents/1"

    (answer,) = vertex.bucket.answers(vertex.run([line]))

    assert answer["status"].startswith("Bad Request: ")


def test_a_row_is_cut_at_its_own_limit_of_tokens(vertex: Vertex) -> None:
    line = row("many words " * 10)
    line["request"]["generation_config"] = {"max_output_tokens": 3}

    (answer,) = vertex.bucket.answers(vertex.run([line]))

    (candidate,) = answer["response"]["candidates"]
    assert candidate["finishReason"] == "MAX_TOKENS"
    assert answer["response"]["usageMetadata"]["candidatesTokenCount"] == 3
    assert answer_text(answer) == "many words m"


@pytest.mark.parametrize(
    ("config", "thinks"),
    [
        ({"thinkingConfig": {"includeThoughts": True}}, True),
        ({"thinking_config": {"include_thoughts": True, "thinking_budget": 9}}, True),
        ({"thinkingConfig": {"includeThoughts": False}}, False),
        ({"thinkingConfig": {"thinkingBudget": 9}}, False),
    ],
)
def test_thoughts_come_first_where_a_row_asks_for_them(
    vertex: Vertex, config: dict[str, Any], thinks: bool
) -> None:
    line = row("Why?")
    line["request"]["generationConfig"] = config

    (answer,) = vertex.bucket.answers(vertex.run([line]))

    response = answer["response"]
    *thoughts, last = response["candidates"][0]["content"]["parts"]
    assert last == {"text": "Why?"}
    assert [part["thought"] for part in thoughts] == [True] * thinks
    usage = response["usageMetadata"]
    assert ("thoughtsTokenCount" in usage) is thinks
    assert usage["totalTokenCount"] == sum(
        usage.get(f"{kind}TokenCount", 0)
        for kind in ("prompt", "candidates", "thoughts")
    )


CLAUDE = "publishers/anthropic/models/claude-sonnet-4@20250514"


def test_claude_lines_keep_their_custom_id_and_answer_as_messages(
    vertex: Vertex,
) -> None:
    request = {
        "messages": [{"role": "user", "content": "Hello!"}],
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 50,
    }

    job = vertex.run([{"custom_id": "request-1", "request": request}], model=CLAUDE)

    (line,) = vertex.bucket.answers(job)
    response = line.pop("response")
    assert line == {"custom_id": "request-1", "request": request, "status": ""}
    assert response.pop("id").startswith("msg_vrtx_")
    assert response == {
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4@20250514",
        "content": [{"type": "text", "text": "Hello!"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 2, "output_tokens": 2},
    }


def test_claude_thinks_where_it_is_asked_to(vertex: Vertex) -> None:
    request = {
        "messages": [{"role": "user", "content": "Hello!"}],
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 50,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }

    job = vertex.run([{"custom_id": "request-1", "request": request}], model=CLAUDE)

    (line,) = vertex.bucket.answers(job)
    thinking, text = line["response"]["content"]
    assert (thinking["type"], text["type"]) == ("thinking", "text")
    assert thinking["thinking"]
    assert line["response"]["usage"]["output_tokens"] > 2


def test_a_claude_line_without_max_tokens_fails_alone(vertex: Vertex) -> None:
    request = {"messages": [{"role": "user", "content": "Hello!"}]}

    job = vertex.run([{"custom_id": "request-1", "request": request}], model=CLAUDE)

    (line,) = vertex.bucket.answers(job)
    assert "max_tokens" in line["status"]
    assert line["custom_id"] == "request-1"


LLAMA = "publishers/meta/models/llama-4-maverick-17b-128e-instruct-maas"


def test_open_models_answer_chat_completions_and_drop_method_and_url(
    vertex: Vertex,
) -> None:
    body = {"model": "llama", "messages": [{"role": "user", "content": "Hi there"}]}
    line = {
        "custom_id": "test-request-0",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }

    job = vertex.run([line], model=LLAMA)

    (answer,) = vertex.bucket.answers(job)
    assert set(answer) == {"id", "custom_id", "body", "response"}
    assert answer["custom_id"] == "test-request-0"
    completion = answer["response"]["body"]
    assert answer["response"]["status_code"] == 200
    assert completion["object"] == "chat.completion"
    assert completion["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi there"},
            "finish_reason": "stop",
        }
    ]
    assert completion["usage"] == {
        "prompt_tokens": 2,
        "completion_tokens": 2,
        "total_tokens": 4,
    }


def test_the_response_of_a_failed_open_model_row_has_the_error(vertex: Vertex) -> None:
    line = {"custom_id": "c", "body": {"messages": []}}

    job = vertex.run([line], model=LLAMA)

    (answer,) = vertex.bucket.answers(job)
    assert answer["response"]["status_code"] == 400
    assert job["completionStats"] == {"failedCount": "1"}


def test_open_embedding_models_answer_with_vectors(vertex: Vertex) -> None:
    line = {"custom_id": "c", "body": {"input": "Hello World", "dimensions": 16}}
    model = "publishers/intfloat/models/multilingual-e5-large-instruct-maas"

    (answer,) = vertex.bucket.answers(vertex.run([line], model=model))

    (item,) = answer["response"]["body"]["data"]
    assert len(item["embedding"]) == 16


def test_text_embedding_lines_answer_with_instance_and_predictions(
    vertex: Vertex,
) -> None:
    line = {"content": "What is life?", "task_type": "RETRIEVAL_QUERY"}
    model = "publishers/google/models/text-embedding-005"

    (answer,) = vertex.bucket.answers(vertex.run([line], model=model))

    (prediction,) = answer["predictions"]
    values = prediction["embeddings"]["values"]
    assert answer["instance"] == line
    assert answer["status"] == ""
    assert prediction["embeddings"]["statistics"] == {
        "token_count": 4,
        "truncated": False,
    }
    assert len(values) == 768
    assert math.isclose(math.hypot(*values), 1, abs_tol=1e-6)


def test_gemini_embedding_lines_are_echoed_and_have_the_asked_dimension(
    vertex: Vertex,
) -> None:
    request = {
        "content": {"parts": [{"text": "a text"}]},
        "embed_content_config": {"output_dimensionality": 8},
    }
    model = "publishers/google/models/gemini-embedding-2"

    job = vertex.run([{"key": "id_1", "request": request}], model=model)

    (answer,) = vertex.bucket.answers(job)
    assert (answer["key"], answer["request"]) == ("id_1", request)
    assert len(answer["response"]["embedding"]["values"]) == 8


def test_a_template_answers_with_the_prompt_filled_in(vertex: Vertex) -> None:
    vertex.sim.settings.model = template("$model was asked: $text")

    (answer,) = vertex.bucket.answers(vertex.run([row("why?")]))

    assert answer_text(answer) == "gemini-3.8-flash was asked: why?"


def test_a_template_with_an_unknown_placeholder_is_refused() -> None:
    with pytest.raises(ValueError, match=r"only \$text and \$model"):
        template("Dear $name")


def test_a_python_function_can_answer_and_fail_rows(vertex: Vertex) -> None:
    def model(prompt: Prompt) -> str:
        if prompt.text == "trouble":
            raise RowFailed(503, "Overloaded.")
        return prompt.text.upper()

    vertex.sim.settings.model = model
    job = vertex.run([row("hello", key="a"), row("trouble", key="b")])

    lines = {line["key"]: line for line in vertex.bucket.answers(job)}
    assert answer_text(lines["a"]) == "HELLO"
    assert lines["b"]["status"].startswith("Service Unavailable: ")
    assert job["completionStats"] == {"successfulCount": "1", "failedCount": "1"}


def test_a_python_function_can_give_the_whole_response(vertex: Vertex) -> None:
    vertex.sim.settings.model = lambda prompt: {"candidates": [], "extra": prompt.text}

    (answer,) = vertex.bucket.answers(vertex.run([row("x")]))

    assert answer["response"]["extra"] == "x"


def test_a_function_that_breaks_fails_the_job_with_code_13(vertex: Vertex) -> None:
    def model(prompt: Prompt) -> str:
        raise KeyError("oops")

    vertex.sim.settings.model = model
    job = vertex.run([row("x")])

    assert job["state"] == "JOB_STATE_FAILED"
    assert job["error"]["code"] == 13
    assert "oops" in job["error"]["message"]


@pytest.mark.parametrize("member", ["responseSchema", "responseJsonSchema"])
def test_a_row_with_a_schema_is_answered_in_json_that_fits_it(
    batchsim: BatchSim, vertex: Vertex, member: str
) -> None:
    import json

    schema = {
        "type": "OBJECT",
        "properties": {
            "mood": {"type": "STRING", "enum": ["good", "bad"]},
            "stars": {"type": "INTEGER", "minimum": 1, "maximum": 5},
            "tags": {"type": "ARRAY", "items": {"type": "STRING"}, "minItems": 2},
            "sure": {"type": "BOOLEAN"},
        },
    }
    line = row("nice place")
    line["request"]["generationConfig"] = {member: schema}

    (answer,) = vertex.bucket.answers(vertex.run([line]))

    value = json.loads(answer_text(answer))
    assert set(value) == {"mood", "stars", "tags", "sure"}
    assert value["mood"] in ("good", "bad")
    assert isinstance(value["stars"], int)
    assert 1 <= value["stars"] <= 5
    assert len(value["tags"]) == 2
    assert isinstance(value["sure"], bool)
