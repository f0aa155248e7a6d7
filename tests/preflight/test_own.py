"""What a check keeps of a line that isn't sent, and which requests ask for JSON."""

import json
from typing import Any

import pytest

from batchdrop.preflight import Checker, Rules
from tests.preflight.reading import GOOD, file, good
from tests.preflight.test_bad_lines import CLAUDE, HI, LLAMA, OPEN_LINE, VERSION

ASKED = json.dumps(GOOD).encode()
TEXT = "text-embedding-005"
EMBEDDING = "gemini-embedding-2"


def own(line: bytes, times: int, **chosen: Any) -> bytes:
    """What is kept of the last of some equal lines."""
    checker = Checker(Rules(**chosen), own=True)
    found = b"".join(
        block.own for block in checker.blocks([b"\n".join([line] * times)])
    )
    assert checker.rows.accepted == times, found
    last = found.splitlines(keepends=True)[-1:]
    prefix = b'{"id":%d' % times
    assert all(one.startswith(prefix) for one in last)
    return b"".join(last).removeprefix(prefix)


#: One line, and enough for the fast paths.
often = pytest.mark.parametrize("times", [1, 30])


@often
@pytest.mark.parametrize(
    ("columns", "kept"),
    [
        (b"", b""),
        (b'"n":1.10,', b',"columns":{"n":1.10}}\n'),
        (
            b'"a" : [ 1,\t2 ] , "b":{"c": null},"d":1E+40,',
            b',"columns":{"a":[ 1,\t2 ],"b":{"c": null},"d":1E+40}}\n',
        ),
        (b'"n":1,"n":"two",', b',"columns":{"n":"two"}}\n'),
        (
            b'"big":123456789012345678901234567890,',
            b',"columns":{"big":123456789012345678901234567890}}\n',
        ),
        (
            rb'"\u00e9\"\n":"\ud83d\ude00\u0000",',
            ',"columns":{"\u00e9\\"\\n":"\\ud83d\\ude00\\u0000"}}\n'.encode(),
        ),
        (
            b'"metadata":{"key":"007"},',
            b',"key":"007","columns":{"metadata":{"key":"007"}}}\n',
        ),
        (
            b'"metadata":{"key":4672,"x":[]},',
            b',"key":4672,"columns":{"metadata":{"key":4672,"x":[]}}}\n',
        ),
        (b'"metadata":{"key":""},', b',"columns":{"metadata":{"key":""}}}\n'),
        (b'"metadata":{"key":null},', b',"columns":{"metadata":{"key":null}}}\n'),
        (b'"metadata":"key",', b',"columns":{"metadata":"key"}}\n'),
        (b'"method":"POST","url":"/x",', b',"columns":{"method":"POST","url":"/x"}}\n'),
    ],
)
def test_a_column_keeps_its_bytes(columns: bytes, kept: bytes, times: int) -> None:
    assert own(b'{%b"request":%b}' % (columns, ASKED), times) == kept


KEYS = [
    b'"007"',
    b'"4672"',
    rb'"a\u0062\/\"\\"',
    '"\N{SNOWMAN}"'.encode(),
    rb'"\u0000\n\u001f"',
    rb'"\ud83d\ude00"',
    b'" "',
    b'"%s\\n%d"',
    b'"' + b"k" * 1_000_000 + b'"',
    b"4672",
    b"123456789012345678901234567890",
    b"1.0",
    b"-0",
    b"1E+3",
]


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
@pytest.mark.parametrize("name", [b"key", b"custom_id"])
@pytest.mark.parametrize("before", [0, 30])
def test_a_key_keeps_its_bytes(key: bytes, name: bytes, before: int) -> None:
    fine = [b'{"%b":"k%d","request":%b}' % (name, n, ASKED) for n in range(before)]
    line = b'{"%b":%b,"request":%b}' % (name, key, ASKED)
    checker = Checker(Rules(), own=True)

    blocks = list(checker.blocks([b"\n".join([*fine, line])]))

    assert checker.rows.accepted == before + 1
    found = b"".join(block.own for block in blocks).splitlines()
    assert found[-1] == b'{"id":%d,"key":%b}' % (before + 1, key)
    assert [json.loads(one).get("key") for one in found[:-1]] == [
        f"k{n}" for n in range(before)
    ]


def test_of_two_keys_the_first_name_is_the_key() -> None:
    line = b'{"custom_id":"x","key":"y","request":%b}' % ASKED

    assert own(line, 1) == b',"key":"y","columns":{"custom_id":"x"}}\n'


@often
@pytest.mark.parametrize(
    ("model", "line", "kept"),
    [
        ("gemini-3.8-flash", GOOD, {}),
        ("gemini-3.8-flash", good(labels={"a": "b"}), {}),
        (CLAUDE, {**VERSION, "messages": [HI], "max_tokens": 1}, {}),
        (LLAMA, {k: v for k, v in OPEN_LINE.items() if k != "custom_id"}, {}),
        (LLAMA, {"a": 1, **OPEN_LINE, "b": 2}, {"a": 1, "b": 2}),
        (TEXT, {"content": "x"}, {}),
        (TEXT, {"content": "x", "title": "t", "task_type": "RETRIEVAL_QUERY"}, {}),
        (TEXT, {"content": "x", "n": 1}, {"n": 1}),
        (TEXT, {"n": 1, "content": "x"}, {"n": 1}),
        (TEXT, {"content": "x", "text": "y"}, {"text": "y"}),
        (TEXT, {"request": {"content": "x"}, "n": 1}, {"n": 1}),
        (EMBEDDING, {"content": "x", "taskType": "RETRIEVAL_QUERY"}, {}),
        (EMBEDDING, {"content": "x", "outputDimensionality": 8, "n": {}}, {"n": {}}),
        (EMBEDDING, {"content": "x", "model": EMBEDDING}, {}),
    ],
)
def test_columns_are_what_stands_beside_the_request(
    model: str, line: dict[str, Any], kept: dict[str, Any], times: int
) -> None:
    key = line.pop("custom_id", None)
    found = own(json.dumps(line).encode(), times, model=model)

    assert key is None or "custom_id" not in line
    assert (json.loads(b"{" + found[1:])["columns"] if found else {}) == kept


def test_a_mended_line_keeps_its_key_and_columns() -> None:
    contents = b'"contents":[{"parts":[{"text":"x"}]}]'
    line = b'\xef\xbb\xbf{"key":"a","n":1.0,"request":{%b,"labels":null}}' % contents
    checker = Checker(Rules(fix=True), own=True)

    found = b"".join(block.own for block in checker.blocks([b"\n" + line]))

    assert checker.rows.fixed == 1
    assert found == b'{"id":2,"key":"a","columns":{"n":1.0}}\n'


def test_nothing_is_kept_of_a_bad_line() -> None:
    lines = [b'{"key":"%d","request":%b}' % (n % 20, ASKED) for n in range(40)]
    checker = Checker(Rules(), own=True)

    found = b"".join(block.own for block in checker.blocks([b"\n".join(lines)]))

    assert checker.rows.refused == 20
    assert found.count(b"\n") == 20


# -- JSON ------------------------------------------------------------------------------

MIME = {"responseMimeType": "application/json"}
SCHEMA = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}
ENUM = {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING"}}


def asking(*lines: Any, **chosen: Any) -> list[bool]:
    checker = Checker(Rules(**chosen))
    found: list[bool] = []
    for block in checker.blocks([file(*lines)]):
        asks = checker.asking_for_json(block.staged)
        found += map(bool, asks) if asks else [False] * block.rows
    assert len(found) == len(lines)
    return found


def config(**members: Any) -> dict[str, Any]:
    return good(generationConfig=members)


ASKING = [
    config(**MIME),
    config(responseMimeType="Application/JSON; charset=utf-8"),
    config(responseSchema=SCHEMA),
    config(responseJsonSchema={"type": "object"}),
    config(topP=1, **MIME),
    good(generation_config={"response_mime_type": "application/json"}),
    good(generation_config={"response_schema": SCHEMA}),
    config(responseFormat={"text": {"mimeType": "APPLICATION_JSON"}}),
    b'{"generationConfig" : {"respons\\u0065MimeType":"application\\/json" } , %b'
    % ASKED[1:],
]
NOT_ASKING = [
    GOOD,
    config(topP=1),
    config(responseMimeType="text/plain"),
    config(**ENUM),
    config(responseModalities=["TEXT"]),
    {"contents": [{"role": "user", "parts": [{"text": json.dumps(config(**MIME))}]}]},
    good(tools=[{"functionDeclarations": [{"name": "f", "response": SCHEMA}]}]),
]


@pytest.mark.parametrize("line", ASKING, ids=range(len(ASKING)))
@pytest.mark.parametrize("backend", ["vertex", "developer"])
def test_a_request_of_gemini_asks_for_json(line: Any, backend: str) -> None:
    if backend == "vertex" and "responseFormat" in str(line):
        line["generationConfig"]["responseFormat"]["text"]["schema"] = {"a": "b"}

    assert asking(*[line] * 30, backend=backend) == [True] * 30


@pytest.mark.parametrize("line", NOT_ASKING, ids=range(len(NOT_ASKING)))
def test_a_request_of_gemini_does_not_ask_for_json(line: Any) -> None:
    assert asking(*[line] * 30) == [False] * 30


def test_each_line_asks_for_itself() -> None:
    lines = [config(**MIME), config(topP=1), GOOD, config(topP=1, **MIME), GOOD] * 10

    assert asking(*lines) == [True, False, False, True, False] * 10
    assert asking(*({"request": line, "key": f"{n}"} for n, line in enumerate(lines)))[
        -5:
    ] == [True, False, False, True, False]


def test_a_text_that_ends_as_a_configuration_does_asks_for_nothing() -> None:
    end = json.dumps(config(**MIME))[-60:]
    fake = {"contents": [{"role": "user", "parts": [{"text": end}]}]}

    assert asking(*[config(**MIME)] * 5, fake, GOOD) == [*[True] * 5, False, False]


def test_a_line_that_only_ends_like_one_that_asks_is_looked_into() -> None:
    plain = {"responseMimeType": "text/plain"}
    other = good(generationConfig=plain, labels=MIME)
    escaped = good(**{'x"generationConfig': MIME})
    both = good(generationConfig=MIME, **{'x"generationConfig': MIME})

    assert asking(config(**MIME), other) == [True, False]
    assert asking(both, escaped, backend="developer", unknown="allow") == [True, False]


def test_the_jobs_own_configuration_asks_for_json_unless_a_line_says_otherwise() -> (
    None
):
    lines = [GOOD, config(topP=1), config(responseMimeType="text/plain")] * 10

    assert (
        asking(*lines, generation_config=json.dumps(MIME).encode())
        == [*(True, True, False)] * 10
    )


FORMAT = {"type": "json_schema", "schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("model", "more", "asks"),
    [
        (CLAUDE, {}, False),
        (CLAUDE, {"output_config": {"effort": "low"}}, False),
        (CLAUDE, {"output_config": {"effort": "low", "format": FORMAT}}, True),
        (CLAUDE, {"output_format": FORMAT}, True),
        (LLAMA, {}, False),
        (LLAMA, {"response_format": {"type": "text"}}, False),
        (LLAMA, {"response_format": {"type": "json_object"}}, True),
        (LLAMA, {"response_format": {"type": "json_schema"}}, True),
    ],
)
def test_claude_and_open_models_are_asked_for_json(
    model: str, more: dict[str, Any], asks: bool
) -> None:
    if model == CLAUDE:
        line: Any = {**VERSION, "messages": [HI], "max_tokens": 1, **more}
    else:
        line = {**OPEN_LINE, "body": {**OPEN_LINE["body"], **more}}
        line.pop("custom_id")

    assert asking(*[line] * 30, model=model) == [asks] * 30


@pytest.mark.parametrize("model", [TEXT, EMBEDDING])
def test_embeddings_never_ask_for_json(model: str) -> None:
    assert asking(*[{"content": "x"}] * 30, model=model) == [False] * 30
