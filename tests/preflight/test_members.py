"""Unknown members of requests are row errors, with what was probably meant."""

import json
from typing import Any

import pytest

from batchdrop.preflight import MODEL, Rules, config_error
from batchdrop.preflight.members import public
from tests.preflight.reading import GOOD, good, many, problems, row_errors, staged

CLAUDE = "publishers/anthropic/models/claude-sonnet-5-5"
LLAMA = "publishers/meta/models/llama-4-maverick-17b-128e-instruct-maas"
EMBEDDING = "gemini-embedding-2"
HI = {"role": "user", "content": "hi"}
#: A request of Claude.
ASKED = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 10, "messages": [HI]}
BODY = {"messages": [HI]}

each_backend = pytest.mark.parametrize("backend", ["vertex", "developer"])
looked_at_or_passed = pytest.mark.parametrize("before", [1, 30])


def configured(**members: Any) -> dict[str, Any]:
    return good(generationConfig=members)


def schema(**members: Any) -> dict[str, Any]:
    return configured(responseSchema=members)


def parts(*some: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(some)}]}


def chat(**members: Any) -> dict[str, Any]:
    line = {"method": "POST", "url": "/v1/chat/completions"}
    return {**line, "body": {**BODY, **members}}


#: A request, the place of a member that there isn't, and what to do about it.
UNKNOWN = [
    # misspelt
    (configured(maxTokens=100), "generationConfig.maxTokens", '"maxOutputTokens"'),
    (configured(temprature=0), "generationConfig.temprature", '"temperature"'),
    (good(GenerationConfig={"topP": 0}), "GenerationConfig", '"generationConfig"'),
    (good(tool=[]), "tool", '"tools"'),
    (configured(max_outputTokens=9), "generationConfig.max_outputTokens", '"maxO'),
    (parts({"txt": "x"}), "contents[0].parts[0].txt", '"text"'),
    # in another place
    (good(temperature=0), "temperature", 'put it into "generationConfig"'),
    (
        good(thinking_config={"thinking_budget": 0}),
        "thinking_config",
        'put it into "generationConfig"',
    ),
    (
        configured(systemInstruction={"parts": [{"text": "x"}]}),
        "generationConfig.systemInstruction",
        "put it into the request",
    ),
    (
        configured(thinkingBudget=0),
        "generationConfig.thinkingBudget",
        'put it into "generationConfig.thinkingConfig"',
    ),
    # of a client, or another API
    (good(config={"temperature": 0}), "config", '"generationConfig"'),
    (good(max_tokens=9), "max_tokens", '"maxOutputTokens" in "generationConfig"'),
    (good(response_format={"type": "x"}), "response_format", '"responseMimeType" in'),
    (good(stop=["x"]), "stop", '"stopSequences" in "generationConfig"'),
    # nothing like it
    (good(zzz=1), "zzz", "leave it out"),
]


@pytest.mark.parametrize(("request_", "path", "fix"), UNKNOWN)
@looked_at_or_passed
@each_backend
def test_an_unknown_member_is_an_error_with_what_is_meant(
    request_: dict[str, Any], path: str, fix: str, before: int, backend: str
) -> None:
    (row_error,) = row_errors(*many(GOOD, before), request_, backend=backend)

    assert (row_error.line, row_error.path) == (before + 1, path)
    assert row_error.code == "unknown_member"
    assert fix in row_error.fix


@pytest.mark.parametrize(("request_", "path", "fix"), UNKNOWN)
@each_backend
def test_a_member_newer_than_the_list_can_be_allowed(
    request_: dict[str, Any], path: str, fix: str, backend: str
) -> None:
    lines = many({**request_, "tools": [{"codeExecution": {"new": 1}}]})

    assert problems(*lines, backend=backend, unknown="allow") == []


@pytest.mark.parametrize(
    ("backend", "request_", "path"),
    [
        ("developer", configured(audioTimestamp=True), "generationConfig"),
        ("developer", schema(type="OBJECT", additionalProperties=False), ""),
        ("developer", good(tools=[{"retrieval": {"vertexAiSearch": {}}}]), "tools"),
        ("vertex", good(store=True), "store"),
        ("vertex", good(tools=[{"fileSearch": {"topK": 1}}]), "tools"),
    ],
)
def test_a_member_that_only_the_other_api_has_is_an_error(
    backend: str, request_: dict[str, Any], path: str
) -> None:
    other = {"vertex": "developer", "developer": "vertex"}[backend]

    ((_, where, code),) = problems(request_, backend=backend)

    assert where.startswith(path)
    assert code == "unknown_member"
    assert "unknown_member" not in [c for _, _, c in problems(request_, backend=other)]


#: What both APIs take, however it is written.
TAKEN = [
    configured(max_output_tokens=9, topP=0.5, stop_sequences=["a"]),
    configured(maxOutputTokens="9", temperature="0.5", responseLogprobs="true"),
    configured(maxOutputTokens=9.0),
    configured(mediaResolution="media_resolution_low"),
    configured(mediaResolution="MEDIA-RESOLUTION-LOW"),
    configured(mediaResolution=1),
    configured(responseModalities=["TEXT"]),
    configured(responseModalities=["Text"]),
    configured(responseModalities="text"),
    configured(thinkingConfig={"thinkingLevel": "low", "includeThoughts": True}),
    configured(thinking_config={"thinking_level": "HIGH"}),
    configured(responseJsonSchema={"type": "object", "any_name": {"x": 1}}),
    schema(type="object", properties={"any_name": {"type": "string"}}),
    schema(type="ARRAY", items={"type": "STRING", "enum": ["a"]}, max_items="3"),
    good(systemInstruction={"parts": {"text": "be brief"}}),
    good(labels={"any_name": "x"}),
    good(tools=[{"functionDeclarations": [{"name": "f", "description": "x"}]}]),
    good(tools={"function_declarations": {"name": "f"}}),
    good(toolConfig={"functionCallingConfig": {"mode": "any"}}),
    good(
        safetySettings=[
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}
        ]
    ),
    parts({"functionCall": {"name": "f", "args": {"any_name": {"a": "x"}}}}),
    parts({"functionResponse": {"name": "f", "response": {"any_name": "x"}}}),
    parts(
        {
            "fileData": {"fileUri": "gs://media/a", "mimeType": "video/mp4"},
            "videoMetadata": {"startOffset": "1.5s", "endOffset": {"seconds": 9}},
        }
    ),
]


@pytest.mark.parametrize("request_", TAKEN)
@each_backend
def test_every_way_to_write_that_the_api_accepts_is_accepted(
    request_: dict[str, Any], backend: str
) -> None:
    assert problems(*many(request_), backend=backend) == []


#: A request with a value that isn't of the type of its member.
WRONG = [
    (configured(temperature="warm"), "generationConfig.temperature"),
    (configured(temperature=[0]), "generationConfig.temperature"),
    (configured(maxOutputTokens=1.5), "generationConfig.maxOutputTokens"),
    (configured(stopSequences=7), "generationConfig.stopSequences"),
    (configured(stopSequences=[7]), "generationConfig.stopSequences[0]"),
    (configured(responseLogprobs=1), "generationConfig.responseLogprobs"),
    (configured(responseLogprobs="yes"), "generationConfig.responseLogprobs"),
    (configured(thinkingConfig=0), "generationConfig.thinkingConfig"),
    (configured(responseSchema="{}"), "generationConfig.responseSchema"),
    (good(generationConfig="hot"), "generationConfig"),
    (good(tools=["googleSearch"]), "tools[0]"),
    (parts({"text": 7}), "contents[0].parts[0].text"),
    (
        schema(type="OBJECT", properties={"a": {"type": ["string", "null"]}}),
        "generationConfig.responseSchema.properties.a.type",
    ),
]


@pytest.mark.parametrize("unknown", ["reject", "allow"])
@pytest.mark.parametrize(("request_", "path"), WRONG)
@looked_at_or_passed
@each_backend
def test_a_value_of_another_type_is_an_error(
    request_: dict[str, Any], path: str, before: int, backend: str, unknown: str
) -> None:
    lines = (*many(GOOD, before), request_)

    found = problems(*lines, backend=backend, unknown=unknown)

    assert found == [(before + 1, path, "bad_value")]


def test_a_list_of_types_is_answered_with_nullable() -> None:
    (row_error,) = row_errors(schema(type=["string", "null"]))

    assert '"nullable": true' in row_error.fix


@each_backend
@looked_at_or_passed
def test_an_unknown_choice_is_an_error_with_the_known_ones(
    before: int, backend: str
) -> None:
    known = configured(mediaResolution="MEDIA_RESOLUTION_LOW")
    new = configured(mediaResolution="MEDIA_RESOLUTION_HUGE")

    (row_error,) = row_errors(*many(known, before), new, backend=backend)

    assert (row_error.line, row_error.code) == (before + 1, "bad_value")
    assert "one of MEDIA_RESOLUTION_LOW, MEDIA_RESOLUTION_MEDIUM" in row_error.fix
    assert problems(*many(known, before), new, backend=backend, unknown="allow") == []


@pytest.mark.parametrize("word", ["additionalProperties", "oneOf", "$ref", "const"])
def test_errors_of_json_schema_words_point_to_a_raw_schema(word: str) -> None:
    (row_error,) = row_errors(schema(type="OBJECT", **{word: "x"}), backend="developer")

    assert row_error.code == "unknown_member"
    assert '"responseJsonSchema"' in row_error.fix
    raw = configured(responseJsonSchema={"type": "object", word: "x"})
    assert problems(raw, backend="developer") == []


def test_a_members_name_is_shown_to_a_length_and_its_value_never() -> None:
    (row_error,) = row_errors(good(**{"x" * 200: "hunter2"}))

    assert row_error.path == "x" * 60 + "..."
    assert "hunter2" not in f"{row_error.message}{row_error.fix}"
    assert len(row_error.message + row_error.fix) < 300


def test_a_jobs_configuration_is_compared_with_the_list_too() -> None:
    rules = Rules(generation_config=b'{"maxTokens": 9}')

    assert config_error(rules).startswith(
        "maxTokens is unknown: the API has no such member"
    )
    assert '"maxOutputTokens"' in config_error(rules)


# -- beside a request ------------------------------------------------------------------


BESIDE = [
    {"generation_config": {"temperature": 1}},
    {"generationConfig": {"temperature": 1}},
    {"systemInstruction": {"parts": [{"text": "be brief"}]}},
    {"system_instruction": "be brief"},
    {"safety_settings": []},
    {"tools": [{"googleSearch": {}}]},
    {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
    {"temperature": 0},
    {"maxOutputTokens": 9},
    {"response_mime_type": "application/json"},
    {"config": {"temperature": 0}},
    {"contents": GOOD["contents"]},
]


@pytest.mark.parametrize("more", BESIDE)
@looked_at_or_passed
@each_backend
def test_a_member_beside_the_request_is_an_error_that_says_where_it_belongs(
    more: dict[str, Any], before: int, backend: str
) -> None:
    fine = {"request": GOOD, "mine": 1}
    (name,) = more

    (row_error,) = row_errors(*many(fine, before), {**fine, **more}, backend=backend)

    assert (row_error.line, row_error.path, row_error.code) == (
        before + 1,
        name,
        "beside_request",
    )
    assert 'in "request"' in row_error.fix or 'into "request"' in row_error.fix
    assert problems({**fine, **more}, backend=backend, unknown="allow") == []


@pytest.mark.parametrize(
    "own",
    [
        {"id": 7, "title": "a", "text": "x", "content": "y", "metadata": {"a": 1}},
        {"label": "good", "labels": ["good"], "tags": {"a": "b"}, "store": "Berlin"},
        {"seed": 3, "system": "crm", "category": "a", "max_tokens_used": 3},
        {"config": {"experiment": 7}, "tools": "hammer", "temperature": "warm"},
        {"model": MODEL},
        {"model": None, "generationConfig": None},
        {"status": "new", "response": "what we said then", "error": None},
    ],
)
@each_backend
def test_columns_of_ones_own_pass(own: dict[str, Any], backend: str) -> None:
    assert problems(*many({"request": GOOD, **own}), backend=backend) == []


@looked_at_or_passed
@each_backend
def test_another_model_beside_the_request_is_an_error(
    before: int, backend: str
) -> None:
    line = {"request": GOOD, "model": MODEL}
    other = {"request": GOOD, "model": "models/gemini-4-pro"}

    found = problems(*many(line, before), other, backend=backend)

    assert found == [(before + 1, "model", "other_model")]


@pytest.mark.parametrize(
    ("model", "line", "path"),
    [
        (CLAUDE, {"request": ASKED, "max_tokens": 9}, "max_tokens"),
        (CLAUDE, {"request": ASKED, "system": "be brief"}, "system"),
        (LLAMA, {**chat(), "max_tokens": 9}, "max_tokens"),
        (LLAMA, {**chat(), "temperature": 0}, "temperature"),
    ],
)
def test_a_member_beside_other_requests_is_an_error_too(
    model: str, line: dict[str, Any], path: str
) -> None:
    assert problems(line, model=model) == [(1, path, "beside_request")]


# -- other kinds of models -------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "model", "line", "path"),
    [
        ("vertex", "text-embedding-005", {"content": "a"}, "parameters"),
        ("vertex", EMBEDDING, {"content": "a"}, "parameters"),
        ("developer", EMBEDDING, {"content": "a"}, "parameters"),
        ("developer", EMBEDDING, {"key": "a", "content": "a"}, "config"),
        ("vertex", "text-embedding-005", {"text": "a"}, "output_dimensionality"),
        ("vertex", "text-embedding-005", {"text": "a"}, "autoTruncate"),
    ],
)
@looked_at_or_passed
def test_an_option_of_an_embedding_line_that_no_batch_reads_is_an_error(
    backend: str, model: str, line: dict[str, Any], path: str, before: int
) -> None:
    fine = [{**line, "key": f"k{n}"} if "key" in line else line for n in range(before)]
    value: Any = {"outputDimensionality": 256}
    if path not in ("parameters", "config"):
        value = 256

    found = problems(*fine, {**line, path: value}, backend=backend, model=model)

    assert found == [(before + 1, path, "unread")]


def test_an_option_in_a_text_embeddings_request_that_no_batch_reads_is_an_error() -> (
    None
):
    fine = {"content": "a", "task_type": "CLUSTERING", "title": "x"}
    lines = [{"request": fine}] * 30
    bad = {"request": {**fine, "parameters": {"outputDimensionality": 256}}}

    found = problems(*lines, bad, model="text-embedding-005")

    assert found == [(31, "request.parameters", "unread")]


@pytest.mark.parametrize("name", ["embedContentConfig", "embed_content_config"])
@each_backend
def test_the_options_of_an_embedding_line_are_sent(name: str, backend: str) -> None:
    line = {"content": "a", name: {"output_dimensionality": 256}, "mine": 1}

    sent = staged(*many(line), backend=backend, model=EMBEDDING)

    spelled = "embed_content_config" if backend == "vertex" else name
    assert [one["request"][spelled] for one in sent] == [line[name]] * 30


def test_columns_of_ones_own_pass_beside_what_is_embedded() -> None:
    own = {"parameters": {"batch": 7}, "config": "x", "response": "y", "price": 1}

    assert problems(*many({"content": "a", **own}), model=EMBEDDING) == []


@pytest.mark.parametrize(
    ("model", "request_", "path", "code"),
    [
        (CLAUDE, {**ASKED, "anthropic_version": None}, "anthropic_version", "null"),
        (CLAUDE, {"max_tokens": 9, "messages": [HI]}, "", "no_anthropic_version"),
        (
            CLAUDE,
            {**ASKED, "messages": [{"role": "system", "content": "x"}, HI]},
            "messages[0].role",
            "bad_role",
        ),
        (CLAUDE, {**ASKED, "messages": [{"role": "user"}]}, "messages[0]", ""),
        (CLAUDE, {**ASKED, "messages": [{"content": "x"}]}, "messages[0]", "no_role"),
        (CLAUDE, {**ASKED, "max_token": 9}, "max_token", "unknown_member"),
        (CLAUDE, {**ASKED, "thinking": "yes"}, "thinking", "bad_value"),
        (CLAUDE, {**ASKED, "generationConfig": {"topP": 0}}, "generationConfig", ""),
        (LLAMA, {**BODY, "max_output_tokens": 9}, "max_output_tokens", ""),
        (LLAMA, {"messages": [{**HI, "role": "bot"}]}, "messages[0].role", "bad_value"),
        (LLAMA, {**BODY, "temperature": "0"}, "temperature", "bad_value"),
    ],
)
def test_requests_of_other_publishers_are_compared_with_their_lists(
    model: str, request_: dict[str, Any], path: str, code: str
) -> None:
    wrapper = "request" if model == CLAUDE else "body"
    line = {**chat(), "body": request_} if model == LLAMA else {"request": request_}

    (row_error,) = row_errors(line, model=model)

    assert row_error.path == (f"{wrapper}.{path}" if path else wrapper)
    assert row_error.code == code or not code


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (CLAUDE, {"request": {**ASKED, "temperature": 0, "top_k": 1, "system": "x"}}),
        (CLAUDE, {"request": {**ASKED, "tools": [{"name": "f", "new": 1}]}}),
        (
            CLAUDE,
            {"request": {**ASKED, "thinking": {"type": "enabled", "budget_tokens": 9}}},
        ),
        (LLAMA, chat(temperature=0, top_k=5, chat_template_kwargs={"thinking": True})),
        (LLAMA, chat(response_format={"type": "json_object"}, max_tokens=9)),
        (LLAMA, {**chat(), "url": "/v1/embeddings", "body": {"input": "x"}}),
        (
            LLAMA,
            chat(
                messages=[
                    HI,
                    {
                        "role": "assistant",
                        "content": "",
                        "reasoning_content": "x",
                        "annotations": [],
                        "tool_calls": [
                            {
                                "id": "1",
                                "type": "function",
                                "index": 0,
                                "function": {"name": "f", "arguments": "{}"},
                            }
                        ],
                    },
                    {"role": "tool", "tool_call_id": "1", "content": "x"},
                ]
            ),
        ),
        (LLAMA, chat(functions=[{"name": "f", "parameters": {"type": "object"}}])),
        (LLAMA, chat(response_format={"type": "structural_tag", "triggers": ["x"]})),
        (LLAMA, chat(thinking={"type": "enabled"}, allowed_token_ids=[1], priority=1)),
        (CLAUDE, {"request": {**ASKED, "context_management": {"edits": [{"a": 1}]}}}),
        (CLAUDE, {"request": {**ASKED, "output_config": {"task_budget": {"a": 1}}}}),
        (CLAUDE, {"request": {**ASKED, "thinking": {"type": "between_tools"}}}),
        (EMBEDDING, {"request": {"content": {"parts": [{"text": "x"}]}}}),
        (EMBEDDING, {"content": "x", "task_type": "clustering", "mine": 1}),
    ],
)
def test_good_requests_of_other_publishers_are_accepted(
    model: str, line: dict[str, Any]
) -> None:
    assert problems(*many(line), model=model) == []


# -- what the import makes of names and nulls --------------------------------------


def test_names_that_differ_only_in_case_are_an_error_over_lines() -> None:
    lower = schema(type="OBJECT", properties={"title": {"type": "STRING"}})
    upper = schema(type="OBJECT", properties={"Title": {"type": "STRING"}})

    (row_error,) = row_errors(*many(lower), upper)

    assert (row_error.line, row_error.code) == (31, "same_name")
    assert row_error.path == "generationConfig.responseSchema.properties.Title"
    assert "in line 1" in row_error.message
    assert problems(*many(lower), upper, backend="developer") == []


def test_names_that_differ_only_in_case_are_an_error_within_a_line() -> None:
    line = good(generationConfig={"topP": 1}, GenerationConfig={"topP": 1})

    assert problems(line, unknown="allow") == [(1, "GenerationConfig", "same_name")]


@pytest.mark.parametrize(
    "name",
    [
        *("_TABLE_x", "_table_x", "_FILE_x", "_PARTITIONTIME", "_ROW_TIMESTAMP"),
        *("__ROOT__a", "_COLIDENTIFIER", "_CHANGE_TYPE"),
    ],
)
def test_names_that_begin_like_bigquerys_own_are_an_error(name: str) -> None:
    line = schema(type="OBJECT", properties={name: {"type": "STRING"}})

    assert [code for _, _, code in problems(line)] == ["bad_name"]
    assert problems(line, backend="developer") == []


@pytest.mark.parametrize("name", ["googleSearch", "google_search"])
@pytest.mark.parametrize("member", ["timeRangeFilter", "time_range_filter"])
@pytest.mark.parametrize("fix", [False, True])
def test_a_search_with_a_null_runs(name: str, member: str, fix: bool) -> None:
    line = good(tools=[{name: {member: None}}])

    assert problems(*many(line), fix=fix) == []


def test_the_error_of_an_empty_search_shows_one_that_runs() -> None:
    (row_error,) = row_errors(good(tools=[{"googleSearch": {}}]))

    assert row_error.code == "empty_object"
    runs = json.loads(f"{{{row_error.fix.removeprefix('write ')}}}")
    assert problems(*many(good(tools=[runs]))) == []


# -- a file of answers -----------------------------------------------------------------


ANSWER = {"candidates": [{"content": {"parts": [{"text": "x"}]}}]}


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "", "processed_time": "2026-01-01", "response": ANSWER},
        {"key": "a", "response": {"promptFeedback": {"blockReason": "SAFETY"}}},
        {"response": {"usageMetadata": {"totalTokenCount": 3}}},
    ],
)
@looked_at_or_passed
@each_backend
def test_a_row_with_an_answer_is_an_error(
    answer: dict[str, Any], before: int, backend: str
) -> None:
    lines = [{"request": GOOD, "response": {}, "status": "Bad Request"}] * before
    if "key" in answer:
        lines = [{**line, "key": f"k{n}"} for n, line in enumerate(lines)]

    (row_error,) = row_errors(*lines, {"request": GOOD, **answer}, backend=backend)

    assert (row_error.line, row_error.path) == (before + 1, "response")
    assert row_error.code == "answered"
    assert "--only-unanswered" in row_error.fix


@pytest.mark.parametrize(
    ("response", "codes"),
    [
        ({"status_code": 200, "body": {"choices": [{"index": 0}]}}, ["answered"]),
        ({"status_code": 429, "body": {"error": {"message": "x"}}}, []),
        ({"status_code": 500, "body": {}}, []),
        ({"status_code": 500, "body": None}, []),
        ({"choices": [{"index": 0}]}, ["answered"]),
    ],
)
def test_a_failed_row_of_an_open_model_has_no_answer(
    response: dict[str, Any], codes: list[str]
) -> None:
    lines = [{"custom_id": f"k{n}", **chat(), "response": {}} for n in range(30)]
    line = {"custom_id": "a", **chat(), "response": response}

    assert [code for _, _, code in problems(*lines, line, model=LLAMA)] == codes


def test_an_answer_without_its_request_is_recognised() -> None:
    (row_error,) = row_errors({"key": "a", "error": {"code": 3}}, backend="developer")

    assert row_error.code == "no_contents"
    assert "without the request" in row_error.message
    assert problems({"key": "a", "response": ANSWER}) == [(1, "response", "answered")]


# -- marks -----------------------------------------------------------------------------


LINE = json.dumps(GOOD).encode()


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (b"\xef\xbb\xbf%b\n\xef\xbb\xbf%b\n" % (LINE, LINE), 2, 1),
        (b"%b\xef\xbb\xbf%b\n" % (LINE, LINE), 1, len(LINE) + 1),
    ],
    ids=["at its beginning", "where no line ended"],
)
def test_an_error_names_a_byte_order_mark(text: bytes, line: int, column: int) -> None:
    (row_error,) = row_errors(text)

    assert (row_error.line, row_error.code) == (line, "byte_order_mark")
    assert f"byte order mark (U+FEFF) at column {column};" in row_error.message
    assert "joined" in row_error.message


def test_a_byte_order_mark_at_a_lines_beginning_is_mended() -> None:
    assert problems(LINE, b"\xef\xbb\xbf" + LINE, fix=True) == []


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("request.contents[0].parts[12].text", None),
        ("generation_config.top_p", None),
        ("request.contents[0].partz", "request.contents[0].?"),
        ("contents[0].a.b", "contents[0].?.?"),
        ("tools[0].x[4111111111111111]", "tools[0].??"),
        ("", None),
    ],
)
def test_public_paths_have_only_names_that_an_api_has(
    path: str, shown: str | None
) -> None:
    assert public(path) == (path if shown is None else shown)
