"""Each kind of bad line has a row error: its line, path, code, and what to write."""

import json
from typing import Any

import pytest

from batchdrop.jobs.values import Location
from batchdrop.preflight import Rules
from batchdrop.preflight.lines import LINE_LIMIT, MOST_VALUES
from batchdrop.preflight.rules import MODEL
from tests.preflight.reading import GOOD, good, many, problems, row_errors

CLAUDE = "publishers/anthropic/models/claude-sonnet-5-5"
VERSION = {"anthropic_version": "vertex-2023-10-16"}
HI = {"role": "user", "content": "hi"}
LLAMA = "publishers/meta/models/llama-4-maverick-17b-128e-instruct-maas"
OPEN_LINE: dict[str, Any] = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"messages": [{"role": "user", "content": "hi"}]},
}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"x": 1}
    for _ in range(depth):
        value = {"x": value}
    return value


def content(**members: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": "hi"}], **members}]}


def medium(**members: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"fileData": members}]}]}


NOT_JSON = [
    (b"nope", "not_json", "invalid character"),
    (b'{"contents": [1,]}', "not_json", "trailing comma"),
    (b'{"contents": [1]} {}', "not_json", "trailing characters at column 20"),
    (b'{"contents": ["', "not_json", "ends in the middle, at column 16"),
    (b'{"contents": [{"role": "us', "not_json", "ends in the middle"),
    ("{“contents”: []}".encode(), "not_json", "column 2"),
    (b"{'contents': []}", "not_json", "column 2"),
    (b'{"contents": NaN}', "not_json", "column 14"),
    (b'{"n": 01}', "not_json", "invalid number"),
    (b'{"n": 1.}', "not_json", "invalid number"),
    (b'{"n": +1}', "not_json", "invalid character"),
    (b'{"n": 0x10}', "not_json", "column"),
    (b'{"n": "a\tb"}', "not_json", "column 9"),
    (b'{"n": "\x00"}', "not_json", "column 8"),
    (b'{"n": 1}\x00', "not_json", "trailing characters"),
    (b'{"n": "\\x41"}', "not_json", "column"),
    (rb'{"n": "\ud800"}', "not_json", "half of a surrogate pair"),
    (rb'{"n": "\ud800\u0041"}', "not_json", "surrogate"),
    (rb'{"n": "\udc00"}', "not_json", "surrogate"),
    ('{"ä": "ö", ü}'.encode(), "not_json", "column 12"),
    (b"{" * 100_000, "not_json", "column 2"),
    (b"[" * 100_000, "too_deep", "too deeply"),
    (b'{"a":' * 100_000, "too_deep", "too deeply"),
    (b"[1, 2]", "json_array", "is a JSON array"),
    (b"[", "json_array", "begins a JSON array"),
    (b'[{"contents": [1]},', "json_array", "begins a JSON array"),
    (b"[" + json.dumps(GOOD).encode() + b"]", "json_array", "is a JSON array"),
    (b'"text"', "not_an_object", "no JSON object"),
    (b"null", "not_an_object", "no JSON object"),
    (b"12", "not_an_object", "no JSON object"),
    (b'{"contents": ["\xff"]}', "not_utf8", "byte 16 is not UTF-8"),
    (b'{"contents": ["\xed\xa0\x80"]}', "not_utf8", "byte 16"),
    (b'{"contents": ["\xc3"]}', "not_utf8", "byte 16"),
]


@pytest.mark.parametrize(("line", "code", "says"), NOT_JSON)
@pytest.mark.parametrize("before", [1, 30], ids=["inspected", "fast"])
@pytest.mark.parametrize("backend", ["vertex", "developer"])
def test_a_line_that_is_not_json_is_an_error_with_its_place(
    line: bytes, code: str, says: str, before: int, backend: str
) -> None:
    (row_error,) = row_errors(*many(GOOD, before), line, GOOD, backend=backend)

    assert (row_error.line, row_error.path, row_error.code) == (before + 1, "", code)
    assert says in row_error.message
    assert row_error.fix


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b'{"n": 1e999}', "n"),
        (b'{"n": %b}' % (b"9" * 4301), "n"),
        (b'{"a": [1, {"b c": -1e999}], "n": 1e999}', "a[1].b c"),
        (b'{"fits": %b, "n": %b}' % (b"9" * 4300, b"9" * 400 + b".0"), "n"),
    ],
    ids=["exponent", "digits", "within", "the second"],
)
def test_a_number_out_of_range_is_an_error_with_its_path(
    line: bytes, path: str
) -> None:
    (row_error,) = row_errors(GOOD, line)

    assert (row_error.line, row_error.path, row_error.code) == (
        2,
        path,
        "number_out_of_range",
    )
    assert row_error.message.endswith("out of range")


@pytest.mark.parametrize("rest", [b"", b"}}", b', "a', b', "a": [}'])
def test_a_number_out_of_range_may_stand_in_a_line_that_is_no_json(rest: bytes) -> None:
    (row_error,) = row_errors(GOOD, b'{"n": 1e999' + rest)

    assert (row_error.line, row_error.path) == (2, "")
    assert row_error.code in ("number_out_of_range", "not_json")


@pytest.mark.parametrize(
    ("number", "model"),
    [
        (b"1e999", MODEL),
        (b"-1E+999", MODEL),
        (b"9" * 250 + b"e99", MODEL),
        (b"9" * 4301, MODEL),
        (b"1e999", "text-embedding-005"),
    ],
)
@pytest.mark.parametrize("name", ["key", "mine"])
def test_a_number_out_of_range_is_found_in_what_is_not_sent(
    number: bytes, model: str, name: str
) -> None:
    request = GOOD if model == MODEL else {"content": "hi"}
    before = [{"key": n, "mine": 1, "request": request} for n in range(30)]
    line = json.dumps({"key": 30, "mine": 1, "request": request} | {name: 0}).encode()
    bad = line.replace(
        b'"%b": 0' % name.encode(), b'"%b": %b' % (name.encode(), number)
    )

    found = problems(*before, bad, model=model)

    assert found == [(31, name, "number_out_of_range")]


def test_an_answer_is_found_behind_many_lines_without_one() -> None:
    answered = {"instance": 1, "predictions": [1], "request": GOOD}

    found = problems(*many({"mine": 1, "request": GOOD}), answered)

    assert found == [(31, "predictions", "answered")]


def test_names_of_other_case_may_come_several_times_in_a_line() -> None:
    items = [{"TOPP": 1}, {"topP": 1}, {"topP": 1}]
    config = {"responseJsonSchema": {"enum": items}}

    found = problems(good(generationConfig=config), GOOD)

    path = "generationConfig.responseJsonSchema.enum"
    assert found == [(1, f"{path}[{n}].topP", "same_name") for n in (1, 2)]


#: A good line, a bad one, and what is wrong in it.
REQUESTS: list[tuple[object, object, str, str]] = [
    # contents
    (GOOD, {}, "", "no_contents"),
    (GOOD, {"prompt": "x"}, "", "no_contents"),
    ({"request": GOOD}, {"request": {"prompt": 1}}, "request", "no_contents"),
    ({"request": GOOD}, {"request": 7}, "request", "not_an_object"),
    ({"request": GOOD}, {"request": []}, "request", "not_an_object"),
    ({"request": GOOD}, {"request": {}}, "request", "no_contents"),
    (GOOD, {"contents": "x"}, "contents", "bad_contents"),
    (GOOD, {"contents": []}, "contents", "bad_contents"),
    (GOOD, {"contents": {"parts": []}}, "contents", "bad_contents"),
    (GOOD, {"contents": [1]}, "contents[0]", "bad_contents"),
    (GOOD, {"contents": None}, "contents", "null"),
    ({"request": GOOD}, {"request": {"contents": {}}}, "request.contents", ""),
    (GOOD, {"contents": [{"role": "user"}]}, "contents[0]", "no_parts"),
    (GOOD, content(parts=[]), "contents[0].parts", "bad_parts"),
    (GOOD, content(parts={"text": "x"}), "contents[0].parts", "bad_parts"),
    (GOOD, content(parts=["x"]), "contents[0].parts[0]", "bad_parts"),
    # roles
    (GOOD, {"contents": [{"parts": [{"text": "x"}]}]}, "contents[0]", "no_role"),
    (GOOD, content(role="assistant"), "contents[0].role", "bad_role"),
    (GOOD, content(role="system"), "contents[0].role", "bad_role"),
    (GOOD, content(role="User"), "contents[0].role", "bad_role"),
    (GOOD, content(role=""), "contents[0].role", "bad_role"),
    (GOOD, content(role=1), "contents[0].role", "bad_role"),
    (GOOD, content(role=None), "contents[0].role", "null"),
    # one type a key
    (good(n=1), good(n="one"), "n", "mixed_types"),
    (good(n="one"), good(n=["one"]), "n", "mixed_types"),
    (good(n=["one"]), good(n="one"), "n", "mixed_types"),
    (good(n=True), good(n=1), "n", "mixed_types"),
    (good(n={"a": 1}), good(n="text"), "n", "mixed_types"),
    (good(n=[{"a": 1}]), good(n=[{"a": "x"}]), "n[0].a", "mixed_types"),
    (GOOD, good(n=[1, "one"]), "n[1]", "mixed_types"),
    (GOOD, good(n=[[1]]), "n[0]", "nested_array"),
    # nulls and empties
    (GOOD, good(n=None), "n", "null"),
    (GOOD, good(n=[None]), "n[0]", "null"),
    (GOOD, good(n={"a": {}}), "n.a", "empty_object"),
    (GOOD, good(tools=[{"google_search": {}}]), "tools[0].google_search", ""),
    (good(n={"a": 1}), good(n={}), "n", "empty_object"),
    # names and depth
    (GOOD, good(n={"$defs": 1}), "n.$defs", "bad_name"),
    (GOOD, good(n={"with space": 1}), "n.with space", "bad_name"),
    (GOOD, good(n={"1st": 1}), "n.1st", "bad_name"),
    (GOOD, good(n={"": 1}), "n.", "bad_name"),
    (GOOD, good(n={"ä": 1}), "n.ä", "bad_name"),
    (GOOD, good(n=nested(14)), "n" + ".x" * 14, "too_deep"),
    # two spellings
    (
        good(generationConfig={"topP": 1}),
        good(generation_config={"topP": 1}),
        "generation_config",
        "mixed_case",
    ),
    (
        good(generation_config={"top_p": 1}),
        good(generation_config={"topP": 1}),
        "generation_config.topP",
        "mixed_case",
    ),
    (
        GOOD,
        good(systemInstruction={"a": 1}, system_instruction={"a": 1}),
        "system_instruction",
        "mixed_case",
    ),
    # keys
    ({"key": "a", "request": GOOD}, {"key": True, "request": GOOD}, "key", "bad_key"),
    ({"key": "a", "request": GOOD}, {"key": "", "request": GOOD}, "key", "bad_key"),
    ({"key": "a", "request": GOOD}, {"key": None, "request": GOOD}, "key", "bad_key"),
    # what the batch or the job can't have
    (GOOD, good(cachedContent="cachedContents/1"), "cachedContent", "cached_content"),
    (GOOD, good(cached_content="cachedContents/1"), "cached_content", ""),
    (GOOD, good(model="gemini-4-argon"), "model", "other_model"),
    (
        GOOD,
        medium(fileUri="https://example.com/a.png", mimeType="image/png"),
        "contents[0].parts[0].fileData.fileUri",
        "bad_medium",
    ),
    (
        GOOD,
        medium(fileUri="/home/me/a.png"),
        "contents[0].parts[0].fileData.fileUri",
        "bad_medium",
    ),
    # shapes
    (GOOD, {"request": GOOD}, "", "mixed_shapes"),
    ({"request": GOOD}, GOOD, "", "mixed_shapes"),
    ({"request": GOOD}, {"key": "a", "request": GOOD}, "", "mixed_shapes"),
    (
        {"key": "a", "request": GOOD},
        {"custom_id": "b", "request": GOOD},
        "",
        "mixed_shapes",
    ),
    (GOOD, {"key": "a", **GOOD}, "key", "wrong_shape"),
    (GOOD, OPEN_LINE, "", "wrong_shape"),
    (GOOD, {"messages": [{"role": "user", "content": "x"}]}, "", "wrong_shape"),
    ({"request": GOOD}, {"request": {"messages": [1]}}, "request", "wrong_shape"),
    (GOOD, {"content": "x"}, "", "wrong_shape"),
    (GOOD, {"text": "x"}, "", "wrong_shape"),
]


@pytest.mark.parametrize(("first", "bad", "path", "code"), REQUESTS)
@pytest.mark.parametrize("before", [1, 30], ids=["inspected", "fast"])
def test_a_bad_request_is_an_error_with_its_place(
    first: object, bad: object, path: str, code: str, before: int
) -> None:
    keyed = isinstance(first, dict) and ("key" in first or "custom_id" in first)
    lines = many(first, before) if not keyed else [first]

    (row_error,) = row_errors(*lines, bad, unknown="allow")

    assert (row_error.line, row_error.path) == (len(lines) + 1, path)
    assert row_error.code == code or not code
    assert row_error.message
    assert row_error.fix


@pytest.mark.parametrize(
    ("model", "first", "bad", "path", "code"),
    [
        (CLAUDE, None, {"custom_id": "a", "request": GOOD}, "request", "wrong_shape"),
        (CLAUDE, None, OPEN_LINE, "", "wrong_shape"),
        (
            CLAUDE,
            None,
            {"custom_id": "a", "request": {**VERSION, "max_tokens": 1}},
            "request",
            "no_contents",
        ),
        (
            CLAUDE,
            None,
            {"custom_id": "a", "request": {**VERSION, "messages": [HI]}},
            "request",
            "no_max_tokens",
        ),
        (
            CLAUDE,
            None,
            {
                "custom_id": "a",
                "request": {**VERSION, "messages": [], "max_tokens": 1},
            },
            "request.messages",
            "bad_contents",
        ),
        (LLAMA, None, GOOD, "", "wrong_shape"),
        (LLAMA, None, {**OPEN_LINE, "method": "GET"}, "method", "bad_value"),
        (LLAMA, None, {**OPEN_LINE, "url": "/v2/x"}, "url", "bad_value"),
        (LLAMA, None, {**OPEN_LINE, "body": {"n": 1}}, "body", "no_contents"),
        (LLAMA, None, {**OPEN_LINE, "body": GOOD}, "body", "wrong_shape"),
        (
            LLAMA,
            None,
            {**OPEN_LINE, "body": {**OPEN_LINE["body"], "model": "meta/other"}},
            "body.model",
            "other_model",
        ),
        ("gemini-embedding-2", None, {"prompt": "x"}, "", "no_contents"),
        ("gemini-embedding-2", None, {"contents": []}, "contents", "bad_contents"),
        (
            "gemini-embedding-2",
            None,
            {"contents": ["a", "b"]},
            "contents",
            "bad_contents",
        ),
        ("gemini-embedding-2", None, {"text": ""}, "text", "bad_contents"),
        (
            "gemini-embedding-2",
            None,
            {"key": "a", "request": {"content": {"parts": [{"text": ""}]}}},
            "request.content.parts[0].text",
            "bad_contents",
        ),
        ("gemini-embedding-2", None, {"content": 7}, "content", "bad_contents"),
        ("text-embedding-005", None, {"content": ""}, "content", "bad_contents"),
        (
            "text-embedding-005",
            None,
            {"content": "x", "model": "text-embedding-004"},
            "model",
            "other_model",
        ),
        (
            "gemini-embedding-2",
            None,
            {"text": "x", "model": "models/gemini-embedding-001"},
            "model",
            "other_model",
        ),
        (
            "text-embedding-005",
            None,
            {"content": {"parts": [{"text": "a"}, {"text": "b"}]}},
            "content",
            "bad_contents",
        ),
    ],
)
def test_a_line_that_its_kind_of_model_refuses_is_an_error(
    model: str, first: None, bad: object, path: str, code: str
) -> None:
    assert problems(bad, model=model) == [(1, path, code)]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ({"text": None}, "text"),
        ({"contents": [""]}, "contents[0]"),
        ({"contents": [{"parts": []}]}, "contents[0].parts"),
        ({"contents": [{"parts": ["x"]}]}, "contents[0].parts[0]"),
        ({"content": "x", "taskType": None}, "taskType"),
        ({"content": "x", "embedContentConfig": {"title": None}}, None),
    ],
)
def test_an_error_in_an_embedding_line_has_the_path_as_written(
    line: object, path: str | None
) -> None:
    path = path or "embedContentConfig.title"

    assert [at for _, at, _ in problems(line, model="gemini-embedding-2")] == [path]


@pytest.mark.parametrize("name", ["embedContentConfig", "embed_content_config"])
@pytest.mark.parametrize("given", ["abc", ["abc"], 7, True])
def test_options_of_an_embedding_line_that_are_no_object_are_an_error(
    name: str, given: object
) -> None:
    line = {"content": "x", name: given}

    found = problems(line, model="gemini-embedding-2", backend="developer")

    assert found == [(1, name, "bad_value")]


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        ({"contents": ["a", "b"]}, "request.contents"),
        ({"contents": [""]}, "request.contents[0]"),
        ({"content": "x", "title": None}, "request.title"),
    ],
)
def test_an_error_in_a_wrapped_text_embedding_has_the_path_as_written(
    request_: object, path: str
) -> None:
    line = {"key": "a", "request": request_}

    assert [at for _, at, _ in problems(line, model="text-embedding-005")] == [path]


@pytest.mark.parametrize("backend", ["vertex", "developer"])
@pytest.mark.parametrize("key", [None, True, [], {}, ["a"]])
def test_a_key_that_is_neither_a_string_nor_a_number_is_an_error(
    key: object, backend: str
) -> None:
    line = {"key": key, "request": GOOD}

    assert problems(line, backend=backend) == [(1, "key", "bad_key")]


@pytest.mark.parametrize("key", [7, 0.5])
def test_a_key_that_is_sent_must_be_a_string(key: object) -> None:
    line = {"key": key, "request": GOOD}

    assert problems(line, key_numbers=False) == [(1, "key", "bad_key")]


@pytest.mark.parametrize("times", [1, 30])
def test_a_number_that_is_given_twice_is_a_duplicate_key(times: int) -> None:
    fine = [{"key": number, "request": GOOD} for number in range(times)]
    lines = [{"key": 0, "request": GOOD}, {"key": "0", "request": GOOD}]

    assert problems(*fine, *lines) == [
        (times + 1, "key", "duplicate_key"),
        (times + 2, "key", "duplicate_key"),
    ]


@pytest.mark.parametrize("backend", ["vertex", "developer"])
def test_a_key_may_look_like_a_number_as_it_is_not_sent(backend: str) -> None:
    keys = ["4672", "007", "7", "-1.5", *map(str, range(100, 130))]
    lines = [{"custom_id": key, "request": GOOD} for key in keys]

    assert problems(*lines, backend=backend) == []


@pytest.mark.parametrize("backend", ["vertex", "developer"])
@pytest.mark.parametrize("before", [0, 30])
@pytest.mark.parametrize(
    ("bad", "path", "code"),
    [
        (good(model=7), "model", "other_model"),
        (good(model=["gemini-3.8-flash"]), "model", "other_model"),
        (good(systemInstruction="be brief"), "systemInstruction", "bad_contents"),
        (good(system_instruction="be brief"), "system_instruction", "bad_contents"),
    ],
)
def test_a_member_of_another_kind_is_an_error_even_if_it_is_the_first(
    bad: object, path: str, code: str, before: int, backend: str
) -> None:
    found = problems(*many(GOOD, before), bad, backend=backend)

    assert found == [(before + 1, path, code)]


def test_an_array_in_place_of_an_object_is_an_error_without_an_import_too() -> None:
    assert problems({"contents": [[]]}, content(parts=[[]]), backend="developer") == [
        (1, "contents[0]", "bad_contents"),
        (2, "contents[0].parts[0]", "bad_parts"),
    ]


def test_without_an_import_null_means_absent() -> None:
    nulls = good(systemInstruction=None, model=None, generationConfig=None)
    nulls["contents"] = [{"role": None, "parts": [{"text": "hi"}]}]

    assert problems(nulls, backend="developer") == []


#: Lines of each kind of model, and what they look like to others.
SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "gemini": (GOOD, "request of Gemini"),
    "gemini, wrapped": ({"request": GOOD}, "request of Gemini"),
    "gemini, keyed": ({"key": "a", "request": GOOD}, "request of Gemini"),
    "claude": ({"messages": [{"role": "user", "content": "x"}]}, "Claude or OpenAI"),
    "claude, keyed": (
        {"custom_id": "a", "request": {"messages": [{"role": "user", "content": "x"}]}},
        "Claude or OpenAI",
    ),
    "openai": (OPEN_LINE, "OpenAI-style line"),
    "embedding": ({"content": "x"}, "embedding line"),
    "embedding, text": ({"text": "x"}, "embedding line"),
    "embedding, keyed": (
        {"key": "a", "request": {"content": {"parts": [{"text": "x"}]}}},
        "embedding request",
    ),
}
VERTEX, DEVELOPER = "vertex", "developer"


MODELS = [
    (VERTEX, "gemini-3.8-flash", "gemini"),
    (DEVELOPER, "gemini-3.8-flash", "gemini"),
    (VERTEX, CLAUDE, "claude"),
    (VERTEX, LLAMA, "openai"),
    (VERTEX, "gemini-embedding-2", "embedding"),
    (VERTEX, "text-embedding-005", "embedding"),
    (DEVELOPER, "gemini-embedding-2", "embedding"),
]


@pytest.mark.parametrize(
    ("backend", "model", "shape"),
    [
        (backend, model, shape)
        for backend, model, takes in MODELS
        for shape in SHAPES
        # A list of one content may be what is to be embedded.
        if not shape.startswith((takes, "gemini" if takes == "embedding" else takes))
        and (backend, takes, shape) != (DEVELOPER, "gemini", "openai")
    ],
)
def test_an_error_of_shape_shows_the_line_to_write(
    backend: str, model: str, shape: str
) -> None:
    line, looks_like = SHAPES[shape]
    if model == LLAMA:
        looks_like = "a line without method, url and body"

    (row_error,) = row_errors(line, backend=backend, model=model)

    assert row_error.code == "wrong_shape"
    assert looks_like in row_error.message
    assert row_error.fix.endswith(Rules(backend=backend, model=model).family.example)


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("{'contents': []}", "in Python, json.dumps(row)"),
        ("{ \u201ccontents\u201d: []}", 'write " in place of \u201c and \u201d'),
        ("{", "write each object on one line: `jq -c . FILE > NEW`"),
        ('  "contents": [', "write each object on one line"),
        ("  ],", "write each object on one line"),
        ("}", "write each object on one line"),
        ('{"contents": []},', "leave out the comma at the end of the line"),
        ('{"contents": [],}', "leave out the comma before the bracket"),
        ('{"contents": [], "x": NaN}', "write null for NaN"),
        ("[", "`jq -c '.[]' FILE > NEW`"),
        ("What is it?", "write one JSON object a line: {"),
        ('{"contents": [', "write one JSON object a line: {"),
    ],
)
def test_a_common_mistake_in_json_shows_what_mends_it(line: str, fix: str) -> None:
    (row_error,) = row_errors(line.encode())

    assert fix in row_error.fix


@pytest.mark.parametrize("key", ["key", "custom_id"])
def test_a_key_inside_of_a_request_shows_where_it_belongs(key: str) -> None:
    (row_error,) = row_errors({key: "a", **GOOD})

    assert (row_error.code, row_error.path) == ("wrong_shape", key)
    assert row_error.message == 'stands beside "contents", inside of the request'
    assert f'{{"{key}": "...", "request": {{"contents": ...}}}}' in row_error.fix
    assert not row_errors({key: "a", "request": GOOD})


def test_a_column_inside_of_a_request_shows_where_it_belongs() -> None:
    (row_error,) = row_errors({"region": "eu", **GOOD})

    assert (row_error.code, row_error.path) == ("unknown_member", "region")
    assert 'a column of yours, write it beside "request"' in row_error.fix
    assert not row_errors({"region": "eu", "request": GOOD})


def test_the_line_that_errors_show_is_accepted() -> None:
    for backend, model, _ in MODELS:
        example = Rules(backend=backend, model=model).family.example

        assert problems(example.encode(), backend=backend, model=model) == []


def test_two_types_of_one_key_name_both_lines() -> None:
    lines = (GOOD, good(n=1), *many(GOOD), good(n="one"))

    (row_error,) = row_errors(*lines, unknown="allow")

    assert row_error.line == 33
    assert "is a string, but a number in line 2" in row_error.message


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (CLAUDE, {"request": {**VERSION, "messages": [HI], "max_tokens": 1}}),
        (LLAMA, {k: v for k, v in OPEN_LINE.items() if k != "custom_id"}),
        ("gemini-embedding-2", {"request": {"content": {"parts": [{"text": "x"}]}}}),
        ("gemini-embedding-2", {"content": "x"}),
        ("text-embedding-005", {"content": "x"}),
    ],
)
@pytest.mark.parametrize("id", ["key", "custom_id"])
def test_types_and_keys_are_checked_for_every_kind_of_model(
    model: str, line: dict[str, Any], id: str
) -> None:
    fine = [{**line, id: f"k{number}"} for number in range(30)]
    bad = [{**line, id: key} for key in ("k3", "", None)]

    assert problems(*fine, *bad, model=model) == [
        (31, id, "duplicate_key"),
        (32, id, "bad_key"),
        (33, id, "bad_key"),
    ]


@pytest.mark.parametrize(
    ("backend", "model"),
    [
        ("vertex", "gemini-embedding-2"),
        ("vertex", "text-embedding-005"),
        ("developer", "gemini-embedding-2"),
    ],
)
@pytest.mark.parametrize("before", [1, 30], ids=["inspected", "fast"])
@pytest.mark.parametrize(
    "other",
    [
        {"text": "x"},
        {"contents": "x"},
        {"content": "x", "key": "a"},
        {"content": "x", "custom_id": "a"},
        {"request": {"content": {"parts": [{"text": "x"}]}}},
    ],
)
def test_shapes_of_embedding_lines_are_not_mixed(
    backend: str, model: str, before: int, other: object
) -> None:
    (row_error,) = row_errors(
        *many({"content": "x"}, before), other, backend=backend, model=model
    )

    assert (row_error.line, row_error.code) == (before + 1, "mixed_shapes")
    assert 'but line 1 has the shape {"content"}' in row_error.message


def test_a_duplicate_key_names_both_lines() -> None:
    lines = [{"key": f"a{n}", "request": GOOD} for n in range(30)]

    (row_error,) = row_errors(*lines, lines[4])

    assert (row_error.line, row_error.path, row_error.code) == (
        31,
        "key",
        "duplicate_key",
    )
    assert "line 5" in row_error.message


@pytest.mark.parametrize(
    "uri",
    [
        "gs://secrets/salaries.pdf",
        "gs://inbox-2/x.png",
        "gs://media/private/x.png",
        "gs://inbox",
        "gs://inbox/",
        "gs://inbox/../secrets/x.png",
        "gs://media/public/../private/x.png",
        "gs://media/public/a/..",
        "gs://media/public/./x.png",
        "gs://inbox/x\n/../../secrets/x.png",
        "gs://inbox/x.png\ngs://secrets/x.png",
    ],
)
@pytest.mark.parametrize("backend", ["vertex", "developer"])
def test_a_medium_outside_the_allowed_places_is_an_error(
    uri: str, backend: str
) -> None:
    places = (
        Location(bucket="inbox", prefix=""),
        Location(bucket="media", prefix="public/"),
    )
    fine = medium(fileUri="gs://inbox/x.png", mimeType="image/png")
    bad = medium(fileUri=uri, mimeType="image/png")

    found = problems(*many(fine), bad, sources=places, backend=backend)

    assert found == [
        (31, "contents[0].parts[0].fileData.fileUri", "medium_not_allowed")
    ]


@pytest.mark.parametrize(
    "text",
    [
        rb'"fileUri": "\u0067s://secrets/x"',
        rb'"fileUri": "gs:\/\/secrets\/x"',
        rb'"fileUri": "gs://secrets/x", "fileUri": "gs://inbox/x"',
        rb'"fileUri": "gs://inbox/x", "fileUri": "gs://secrets/x"',
        rb'"file\u0055ri": "gs://secrets/x"',
    ],
)
@pytest.mark.parametrize("before", [0, 30])
def test_an_address_is_found_however_it_is_written(text: bytes, before: int) -> None:
    line = b'{"contents":[{"role":"user","parts":[{"fileData":{%b}}]}]}' % text
    fine = medium(fileUri="gs://inbox/x.png")

    found = problems(
        *many(fine, before), line, sources=(Location(bucket="inbox", prefix=""),)
    )

    assert found == [
        (before + 1, "contents[0].parts[0].fileData.fileUri", "medium_not_allowed")
    ]


@pytest.mark.parametrize("given", ["gs://secrets/x", {"url": "gs://secrets/x"}])
@pytest.mark.parametrize("name", ["image_url", "video_url", "audio_url", "file_url"])
def test_a_medium_is_found_in_the_shapes_of_openai(name: str, given: object) -> None:
    message = {"role": "user", "content": [{"type": name, name: given}]}
    line = {**OPEN_LINE, "body": {"messages": [message]}}
    places = (Location(bucket="inbox", prefix=""),)

    ((_, path, code),) = problems(line, model=LLAMA, sources=places)

    assert path.startswith(f"body.messages[0].content[0].{name}")
    assert code == "medium_not_allowed"


@pytest.mark.parametrize("uri", [7, ["gs://inbox/x"], {"gs": "x"}, True])
def test_a_medium_that_is_not_a_string_is_an_error(uri: object) -> None:
    path = "contents[0].parts[0].fileData.fileUri"

    assert problems(medium(fileUri=uri)) == [(1, path, "bad_medium")]


def test_a_line_over_20_mb_is_refused_and_the_next_one_is_read() -> None:
    long = b'{"contents": ["' + b"x" * (LINE_LIMIT + 1000) + b'"]}'

    assert problems(GOOD, long, GOOD) == [(2, "", "too_long")]


def test_more_names_than_the_import_takes_are_an_error() -> None:
    lines = [good(n={f"n{line}_{i}": 1 for i in range(500)}) for line in range(21)]

    assert {(line, code) for line, _, code in problems(*lines, unknown="allow")} == {
        (20, "too_many_names"),
        (21, "too_many_names"),
    }


def test_no_message_holds_a_text_of_the_line() -> None:
    secret = "hunter2"
    lines = [
        {"contents": [{"role": secret, "parts": [{"text": secret}]}], "model": secret},
        medium(fileUri=f"https://{secret}"),
        medium(fileUri=f"gs://{secret}/x"),
        b'{"contents": "%b"' % secret.encode(),
    ]

    found = row_errors(*lines, sources=())

    assert len(found) >= 4
    assert all(secret not in f"{one.message}{one.fix}{one.path}" for one in found)


def test_only_the_rules_of_the_backend_apply() -> None:
    lines = [
        {"contents": [{"parts": [{"text": "x"}]}], "n": None},
        good(n=[[1]], cachedContent="cachedContents/1", tools=[{"googleSearch": {}}]),
        good(n={"$defs": nested(30)}, generation_config={}, generationConfig={}),
        medium(fileUri="https://generativelanguage.googleapis.com/v1beta/files/a"),
    ]

    assert problems(*lines, backend="developer", unknown="allow") == []
    assert len({line for line, _, _ in problems(*lines, unknown="allow")}) == 4


def test_a_medium_is_found_after_more_names_than_are_kept() -> None:
    lines = [good(n={f"n{line}_{i}": 1 for i in range(500)}) for line in range(21)]
    bad = good(more={"fileData": {"fileUri": "gs://secrets/x"}})

    found = problems(*lines, bad, backend="developer", sources=(), unknown="allow")

    assert found == [(22, "more.fileData.fileUri", "medium_not_allowed")]


@pytest.mark.parametrize("before", [1, 30], ids=["inspected", "fast"])
@pytest.mark.parametrize(
    "spoilt",
    [
        {"n": "a single one"},
        {"n": [[{"a": 1}]]},
        {"n": {}},
        {"n": None},
        {"n": [{"a": "text"}, {}, [], None, 1.5]},
        {"n": nested(40)},
        {"$new": {"a b": 1}},
    ],
)
def test_a_medium_is_found_even_where_no_import_would_take_it(
    spoilt: dict[str, Any], before: int
) -> None:
    fine = {**medium(fileUri="gs://inbox/x"), "n": [{"a": 1}], "m": "text"}
    address = {"fileData": {"fileUri": "gs://secrets/x"}}
    bad = {**fine, **spoilt, "more": [[address], {"x": address}, "x"], "m": address}

    found = problems(
        *many(fine, before),
        {**fine, **spoilt},
        bad,
        unknown="allow",
        backend="developer",
        sources=(Location(bucket="inbox", prefix=""),),
    )

    assert found == [
        (before + 2, "m.fileData.fileUri", "medium_not_allowed"),
        (before + 2, "more[0][0].fileData.fileUri", "medium_not_allowed"),
        (before + 2, "more[1].x.fileData.fileUri", "medium_not_allowed"),
    ]


def test_an_empty_object_is_an_error_where_objects_share_no_member() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    lines = many({"contents": [{"role": "user", "parts": [{"text": "x"}, picture]}]})
    bad = b'{"contents": [{"role": "user", "parts": [{"text": "x"}, { }]}]}'

    assert problems(*lines, bad) == [(31, "contents[0].parts[1]", "empty_object")]


def test_a_request_without_a_prompt_is_an_error_beside_two_kinds_of_prompt() -> None:
    chat = {**OPEN_LINE, "body": {**OPEN_LINE["body"], "temperature": 1}}
    embed = {**OPEN_LINE, "body": {"input": "x", "temperature": 1}}
    lines = [
        {**line, "custom_id": f"{kind}{n}"}
        for n in range(20)
        for kind, line in (("a", chat), ("b", embed))
    ]
    bad = {**OPEN_LINE, "custom_id": "c", "body": {"temperature": 1}}

    assert problems(*lines, bad, model=LLAMA) == [(41, "body", "no_contents")]


@pytest.mark.parametrize("before", [1, 30])
def test_columns_that_are_not_sent_must_be_utf8_too(before: int) -> None:
    bad = b'{"request": %b, "note": "\xff"}' % json.dumps(GOOD).encode()

    found = problems(*many({"request": GOOD, "note": "ä"}, before), bad)

    assert found == [(before + 1, "", "not_utf8")]


def test_both_spellings_in_one_object_are_not_mended() -> None:
    lines = many(good(generationConfig={"topP": 1}))
    bad = good(generationConfig={"topP": 1, "top_p": 2})

    assert problems(*lines, bad, fix=True) == [
        (31, "generationConfig.top_p", "mixed_case")
    ]


def test_an_error_in_a_mended_line_has_the_path_as_written() -> None:
    parts = [{}, {"fileData": {"fileUri": "here.png"}}]
    line = {"contents": [{"role": "assistant", "parts": parts}, {"parts": [{}]}]}

    assert problems(line, fix=True) == [
        (1, "contents[0].role", "bad_role"),
        (1, "contents[0].parts[1].fileData.fileUri", "bad_medium"),
        (1, "contents[1]", "no_role"),
        (1, "contents[1].parts", "bad_parts"),
    ]


def args(inner: bytes) -> bytes:
    """A line with a value that may be anything on the Developer API."""
    call = b'{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":'
    return call + inner + b"}}]}]}"


@pytest.mark.parametrize("before", [1, 30], ids=["inspected", "fast"])
def test_a_line_of_too_many_values_is_an_error_before_it_is_decoded(
    before: int,
) -> None:
    some = MOST_VALUES - 20
    line = args(b'{"x":[' + b'"a,b",' * (some - 1) + b'"\\\\"]}')
    more = args(b'{"x":[' + b'"a,b",' * (some + 40) + b'""]}')

    (row_error,) = row_errors(*many(GOOD, before), line, more, backend="developer")

    assert (row_error.line, row_error.path, row_error.code) == (
        before + 2,
        "",
        "too_many_values",
    )
    assert "more than 200,000 values and names" in row_error.message
    assert row_error.fix


def test_a_file_on_the_developer_api_is_openai_style_or_it_is_not() -> None:
    keyed = {"key": "a", "request": GOOD}
    wrong: dict[str, Any] = {**OPEN_LINE, "custom_id": "b", "body": {"n": 1}}

    mixed = [(2, "", "mixed_shapes")]
    assert problems(keyed, OPEN_LINE, backend="developer") == mixed
    assert problems(OPEN_LINE, keyed, backend="developer") == mixed
    assert problems(wrong, keyed, OPEN_LINE, backend="developer") == [
        (1, "body", "no_contents"),
        (2, "", "mixed_shapes"),
    ]


@pytest.mark.parametrize(
    ("changes", "path", "code"),
    [
        ({"method": "GET"}, "method", "bad_value"),
        ({"url": "/v1/embeddings"}, "url", "bad_value"),
        ({"body": {"input": "x"}}, "body", "no_contents"),
        ({"body": GOOD}, "body", "wrong_shape"),
        (
            {"body": {**OPEN_LINE["body"], "model": "gemini-9"}},
            "body.model",
            "other_model",
        ),
        ({"body": {**OPEN_LINE["body"], "maxTokens": 9}}, "body.maxTokens", "unknown"),
        ({"temperature": 1}, "temperature", "beside_request"),
    ],
)
def test_openai_style_lines_on_the_developer_api_are_checked_like_those_on_vertex(
    changes: dict[str, Any], path: str, code: str
) -> None:
    ((line, where, what),) = problems({**OPEN_LINE, **changes}, backend="developer")

    assert (line, where) == (1, path)
    assert what.startswith(code)


def test_no_configuration_is_merged_into_openai_style_lines() -> None:
    (row_error,) = row_errors(
        OPEN_LINE, backend="developer", generation_config=b'{"temperature":1}'
    )

    assert row_error.code == "wrong_shape"
    assert "no generation configuration" in row_error.message
    assert '"body"' in row_error.fix
