"""Which lines of a file are sent, how, and under which id."""

import json
import tracemalloc
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchdrop.preflight import Checker, Rules, own_columns
from batchdrop.preflight.keys import Keys
from tests.preflight.reading import GOOD, file, good, many, problems, read_all, staged

CLAUDE = "publishers/anthropic/models/claude-sonnet-5-5"
LLAMA = "publishers/meta/models/llama-4-maverick-17b-128e-instruct-maas"
EMBEDDING = "gemini-embedding-2"
HI = {"parts": [{"text": "hi"}]}
TURNS = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
SAID = {**TURNS, "anthropic_version": "vertex-2023-10-16"}


@pytest.mark.parametrize(
    "line",
    [
        GOOD,
        {"request": GOOD},
        {"request": GOOD, "more": [1, None]},
        {"key": "mine", "request": GOOD},
        {"request": GOOD, "extra": {"$a": 1}, "custom_id": "mine"},
        {"request": GOOD, "method": "mail", "url": "x", "body": "Dear ..."},
    ],
)
@pytest.mark.parametrize("backend", ["vertex", "developer"])
def test_every_way_to_write_a_request_becomes_the_backends(
    line: object, backend: str
) -> None:
    assert staged(line, backend=backend) == [{"key": "r0000001", "request": GOOD}]


@pytest.mark.parametrize(
    ("model", "line", "sent"),
    [
        (
            CLAUDE,
            {"custom_id": "a", "request": SAID},
            {"custom_id": "r0000001", "request": SAID},
        ),
        (CLAUDE, SAID, {"custom_id": "r0000001", "request": SAID}),
        (
            LLAMA,
            {
                "custom_id": "a",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": TURNS,
            },
            {
                "custom_id": "r0000001",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": TURNS,
            },
        ),
        (EMBEDDING, {"content": "hi"}, {"content": HI}),
        (EMBEDDING, {"text": "hi"}, {"content": HI}),
        (EMBEDDING, {"contents": "hi"}, {"content": HI}),
        (EMBEDDING, {"contents": ["hi"]}, {"content": HI}),
        (EMBEDDING, {"contents": [HI]}, {"content": HI}),
        (EMBEDDING, {"content": HI, "key": "mine"}, {"content": HI}),
        (EMBEDDING, {"key": "mine", "request": {"content": HI}}, {"content": HI}),
        (
            EMBEDDING,
            {"text": "hi", "taskType": "CLUSTERING", "output_dimensionality": 3},
            {
                "content": HI,
                "embed_content_config": {
                    "task_type": "CLUSTERING",
                    "output_dimensionality": 3,
                },
            },
        ),
    ],
)
def test_lines_of_other_models_become_what_these_take(
    model: str, line: object, sent: dict[str, Any]
) -> None:
    if "content" in sent:
        sent = {"key": "r0000001", "request": sent}

    assert staged(line, model=model) == [sent]


@pytest.mark.parametrize("key", [{"key": "a"}, {"custom_id": 7, "mine": None}, {}])
@pytest.mark.parametrize("model", [{"model": "models/gemini-3.8-flash"}, {}])
def test_the_developer_api_takes_openai_style_lines_too(
    key: dict[str, Any], model: dict[str, Any]
) -> None:
    asked = {
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {**model, **TURNS},
    }

    assert staged({**key, **asked}, backend="developer") == [
        {"custom_id": "r0000001", **asked}
    ]


@pytest.mark.parametrize(
    "line",
    [
        {"content": "hi"},
        {"text": "hi"},
        {"contents": ["hi"]},
        {"content": HI},
        {"text": "hi", "model": "text-embedding-005", "mine": 7},
        {"request": {"content": "hi"}},
        {"key": "mine", "request": {"content": HI}},
        {"custom_id": "mine", "request": {"content": "hi"}},
    ],
)
def test_an_older_embedding_model_gets_its_text_bare(line: object) -> None:
    assert staged(line, model="text-embedding-005") == [
        {"key": "r0000001", "content": "hi"}
    ]


@pytest.mark.parametrize(
    "line",
    [
        {"content": "hi"},
        {"content": HI, "key": "mine"},
        {"text": "hi"},
        {"contents": "hi"},
        {"contents": [HI]},
        {"request": {"content": HI}},
        {"key": "mine", "request": {"content": HI}},
        {"custom_id": "mine", "request": {"content": HI}},
    ],
)
@pytest.mark.parametrize("backend", ["vertex", "developer"])
def test_every_way_to_write_an_embedding_becomes_the_backends(
    line: object, backend: str
) -> None:
    assert staged(line, model=EMBEDDING, backend=backend) == [
        {"key": "r0000001", "request": {"content": HI}}
    ]


def test_embeddings_on_the_developer_api_have_their_choices_in_the_request() -> None:
    line = {"text": "hi", "outputDimensionality": 3}

    assert staged(line, model=EMBEDDING, backend="developer") == [
        {"key": "r0000001", "request": {"content": HI, "outputDimensionality": 3}}
    ]


@pytest.mark.parametrize("times", [1, 30])
def test_a_plain_request_is_sent_as_it_was_written(times: int) -> None:
    line = (
        b'{ "contents" : [{"role":"user","parts":[{"text":"\\u00e4 \xc3\xa4"}]}],'
        b' "n": 123456789012345678901234567890, "x": 1.10 }'
    )

    _, sent, row_errors = read_all(file(*[line] * times), Rules(unknown="allow"))

    assert row_errors == []
    assert sent[-1] == b'{"key":"r%07d","request":%b}' % (times, line)


@pytest.mark.parametrize("times", [1, 30])
def test_a_wrapped_request_keeps_its_bytes(times: int) -> None:
    request = b'{"contents": [{"role":"user","parts":[{"text":"x"}]}], "n": 1.10}'
    line = b'{"more": 1, "request": %b , "other": {"request": 7}}' % request

    _, sent, _ = read_all(file(*[line] * times), Rules(unknown="allow"))

    assert sent[-1] == b'{"key":"r%07d","request":%b}' % (times, request)


def test_a_row_is_named_after_its_line_blank_ones_counted() -> None:
    text = b"\n" + file(GOOD) + b"\r\n\n  \n" + file(GOOD)

    _, sent, _ = read_all(text, Rules())

    assert [json.loads(line)["key"] for line in sent] == ["r0000002", "r0000005"]


def test_a_users_key_and_columns_are_found_in_the_line_again() -> None:
    line = b'{"key":"mine","request":{"contents":[]},"price":1.10,"n":[1]}'

    found = own_columns(line)

    assert {name: bytes(raw) for name, raw in found.items()} == {
        "key": b'"mine"',
        "price": b"1.10",
        "n": b"[1]",
    }
    assert own_columns(b'{"contents": []}') == {}
    assert own_columns(b"\xef\xbb\xbf" + line) == found


def test_columns_beside_a_request_may_be_anything() -> None:
    lines = [
        {"request": GOOD, "n": 1},
        {"request": GOOD, "n": "one", "$odd name": None},
        {"request": GOOD, "n": [[{}]]},
    ]

    assert len(staged(*lines * 10)) == 30


# -- the job's generation configuration ----------------------------------------------


def test_the_jobs_configuration_is_merged_and_a_lines_own_counts_more() -> None:
    config = b'{"temperature": 0.50, "max_output_tokens": 99}'
    lines = [
        GOOD,
        good(generationConfig={"temperature": 1}),
        good(generation_config={"topP": 0.1, "maxOutputTokens": 5}),
    ]

    sent = staged(*lines * 10, generation_config=config)

    assert [line["request"]["generationConfig"] for line in sent[-3:]] == [
        {"temperature": 0.5, "maxOutputTokens": 99},
        {"temperature": 1, "maxOutputTokens": 99},
        {"temperature": 0.5, "maxOutputTokens": 5, "topP": 0.1},
    ]
    assert all("generation_config" not in line["request"] for line in sent)


@pytest.mark.parametrize("times", [1, 30])
def test_a_lines_own_configuration_counts_however_its_name_is_written(
    times: int,
) -> None:
    line = json.dumps(good(generationConfig={"topP": 0})).encode()
    line = line.replace(b"generationConfig", rb"\u0067enerationConfig")

    sent = staged(*many(GOOD, times), line, generation_config=b'{"topP": 1}')

    assert sent[-1]["request"]["generationConfig"] == {"topP": 0}


@pytest.mark.parametrize("times", [1, 30])
@pytest.mark.parametrize("name", [b"generationConfig", b"generation_config"])
def test_a_merged_configuration_keeps_all_bytes(name: bytes, times: int) -> None:
    line = (
        b'{"%b":{"seed":123456789012345678901234567890},'
        b' "contents":[{"role":"user", "parts":[{"text":"\\u00e4 \\n"}]}]}'
    )
    rules = Rules(generation_config=b'{"temperature": 0.50}')

    _, sent, _ = read_all(file(*[line % name] * times), rules)

    assert sent[-1] == (
        b'{"key":"r%07d","request":{"generationConfig":'
        b'{"temperature":0.50,"seed":123456789012345678901234567890},'
        b' "contents":[{"role":"user", "parts":[{"text":"\\u00e4 \\n"}]}]}}' % times
    )


BRIEF = {"parts": [{"text": "Be brief"}]}
LOUD = {"parts": [{"text": "Be loud"}]}


@pytest.mark.parametrize("times", [1, 30])
@pytest.mark.parametrize("spelled", ["systemInstruction", "system_instruction"])
def test_what_the_api_has_beside_the_contents_is_put_there(
    spelled: str, times: int
) -> None:
    search = [{"googleSearch": {"excludeDomains": ["example.com"]}}]
    config = json.dumps({spelled: BRIEF, "tools": search})

    sent = staged(*many(GOOD, times), generation_config=config.encode())

    assert sent[-1]["request"] == {
        **GOOD,
        "systemInstruction": BRIEF,
        "tools": search,
    }


@pytest.mark.parametrize("times", [1, 30])
@pytest.mark.parametrize("spelled", ["systemInstruction", "system_instruction"])
def test_a_lines_own_member_beside_the_contents_counts_in_either_spelling(
    spelled: str, times: int
) -> None:
    own = good(**{spelled: LOUD}, generationConfig={"topP": 0})
    config = json.dumps({"system_instruction": BRIEF, "temperature": 0.5}).encode()

    sent = staged(*many(GOOD, times), *many(own, times), generation_config=config)

    assert sent[-1]["request"] == {
        **GOOD,
        "systemInstruction": LOUD,
        "generationConfig": {"temperature": 0.5, "topP": 0},
    }
    assert sent[0]["request"]["systemInstruction"] == BRIEF


def test_two_spellings_beside_the_contents_are_an_error_as_written() -> None:
    own = good(systemInstruction=LOUD, system_instruction=LOUD)

    found = problems(
        own, generation_config=json.dumps({"systemInstruction": BRIEF}).encode()
    )

    assert [code for _, _, code in found] == ["mixed_case"]


@pytest.mark.parametrize("times", [1, 30])
def test_a_text_about_a_configuration_is_not_one(times: int) -> None:
    asked = [{"role": "user", "parts": [{"text": 'write "generationConfig": {}'}]}]
    call = {"functionCall": {"args": {"generationConfig": {"topP": 0}}}}
    line = {"contents": [*asked, {"role": "model", "parts": [call]}]}

    sent = staged(*many(line, times), generation_config=b'{"topP": 1}')

    assert sent[-1]["request"] == {**line, "generationConfig": {"topP": 1}}


def test_columns_must_be_utf8_when_a_configuration_is_merged_too() -> None:
    line = file(GOOD)[:-1] + b',"generationConfig":{},"generationConfig":{"topP":0}}'
    bad = line.replace(b"{}", b'{"topP":"\xff"}')

    found = problems(*many(line), bad, generation_config=b'{"topP": 1}')

    assert found == [(31, "", "not_utf8")]


@pytest.mark.parametrize(
    "own",
    [
        {"generationConfig": {"topP": 1, "top_p": 0}},
        {"generationConfig": {"topP": 1}, "generation_config": {"topP": 0}},
    ],
)
def test_merging_hides_no_second_spelling(own: dict[str, Any]) -> None:
    found = problems(good(**own), generation_config=b'{"temperature": 0}')

    assert [code for _, _, code in found] == ["mixed_case"]


@pytest.mark.parametrize(
    ("config", "model", "says"),
    [
        (b"[]", "gemini-3.8-flash", "no JSON object"),
        (b"{", "gemini-3.8-flash", "no JSON object"),
        (b'{"top_p": 1, "topP": 0}', "gemini-3.8-flash", "topP is given twice"),
        (b"{}", CLAUDE, "for Gemini"),
    ],
)
def test_a_configuration_that_can_not_be_merged_is_refused(
    config: bytes, model: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Rules(generation_config=config, model=model)


# -- mending ------------------------------------------------------------------------


def test_errors_that_need_no_guess_are_mended_and_counted() -> None:
    bad = good(
        n=None,
        labels={},
        systemInstruction={"parts": [None, {"text": "x"}, {}]},
        deep={"a": {"b": {"c": None}}},
    )
    spelled = good(generation_config={"top_p": 1})
    first = good(generationConfig={"topP": 1})

    rules = Rules(fix=True, unknown="allow")
    checker, sent, row_errors = read_all(file(*many(first), bad, spelled), rules)

    assert row_errors == []
    assert checker.rows.fixed == 2
    assert json.loads(sent[-2])["request"] == good(
        systemInstruction={"parts": [{"text": "x"}]}
    )
    assert json.loads(sent[-1])["request"] == first


def test_a_lone_content_without_a_role_is_mended_to_be_the_users() -> None:
    content = {"parts": [{"text": "a"}]}
    lone, several = {"contents": [content]}, {"contents": [content, content]}

    _, sent, row_errors = read_all(file(lone, several), Rules(fix=True))

    (row,) = map(json.loads, sent)
    assert row["request"] == {"contents": [{"role": "user", **content}]}
    assert {(row_error.line, row_error.code) for row_error in row_errors} == {
        (2, "no_role")
    }


def test_mending_keeps_the_bytes_of_all_else() -> None:
    line = (
        b'{"contents":[{"role":"user","parts":[{"text":"\\u00e4"}]}],"x":null,'
        b'"n":123456789012345678901234567890,"m":1.10}'
    )

    _, sent, _ = read_all(line, Rules(fix=True, unknown="allow"))

    assert sent == [
        b'{"key":"r0000001","request":{"contents":[{"role":"user",'
        b'"parts":[{"text":"\\u00e4"}]}],"n":123456789012345678901234567890,'
        b'"m":1.10}}'
    ]


def test_what_would_change_the_request_is_not_mended() -> None:
    lines = [
        good(tools=[{"googleSearch": {}}]),
        good(topP=1, top_p=1),
        {"contents": []},
    ]

    assert {line for line, _, _ in problems(*lines, fix=True)} == {1, 2, 3}


def test_a_mended_line_keeps_the_shape_and_columns_it_was_written_in() -> None:
    line = b'{"id": 1.10, "request": {"tools": null, "contents": %b}, "key": "a"}'
    contents = json.dumps(GOOD["contents"]).encode()

    _, block = Checker(Rules(fix=True)).blocks([b"\n" + line % contents])

    (mended,) = block.mended.items()
    assert (mended[0], block.first) == (2, 2)
    assert json.loads(mended[1]) == {"id": 1.1, "request": GOOD, "key": "a"}
    assert mended[1].startswith(b'{"id":1.10,')
    assert block.lines == [line % contents]


# -- a decoder made of what was seen ---------------------------------------------------


values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["a", "b", "topP", "top_p", "uri", "$c"]), inner, max_size=2
        )
    ),
    max_leaves=4,
)
requests = st.builds(
    lambda n, role, own: {
        "contents": [{"role": role, "parts": [{"text": "x"}]}],
        **({"n": n} if n is not None else {}),
        **own,
    },
    values,
    st.sampled_from(["user", "model", "x"]),
    st.sampled_from(
        [{}, {}, {"generationConfig": {"topP": 0}}, {"generation_config": {"topK": 1}}]
    ),
)


#: Keys, and how a line with one is written; some of them aren't what they seem.
keys = st.sampled_from(
    [
        *("a", "b", "a-1", "é", 'a"b', "7", "-1.5", "1e3", "7x", ""),
        *(7, -1.5, 10**30, None, True),
    ]
)
ways = st.sampled_from(
    [
        b'{"key":%(key)b,"request":%(request)b}',
        b'{ "key" : %(key)b , "request" : %(request)b }',
        b'{"request":%(request)b,"key":%(key)b}',
        b'{"key":%(key)b,"request":%(request)b,"key":"z"}',
        b'{"key":%(key)b,"request":%(request)b,"n":"\xff"}',
        b'{"key":%(key)b,"request":%(request)b}}',
        b'{"key":%(key)b,"request":%(request)b\x0b}',
        b'{"key":%(key)b,"request":%(request)b',
        b'{"key":%(key)b,"request":%(request)b]',
        b'{"key":"\xff","request":%(request)b}',
        b'{"key":%(key)b,"request":[%(request)b]}',
        b'{"key":%(key)b,"request":}',
        b'{"key":%(key)b,"key":"z","request":%(request)b}',
        b'{"custom_id":%(key)b,"request":%(request)b}',
        b'{"key":%(key)b,"request":%(request)b,"generation_config":{"topP":1}}',
        b'{"key":%(key)b,"request":%(request)b,"tools":"mine"}',
        b'{"key":%(key)b,"request":%(request)b,"config":{"mine":1}}',
        b'{"key":%(key)b,"request":%(request)b,"model":"gemini-3.8-flash"}',
        b'{"key":%(key)b,"request":%(request)b,"model":"another"}',
        b'{"key":%(key)b,"request":%(request)b,"response":{"candidates":[{}]}}',
        b'{"key":%(key)b,"request":%(request)b,"response":{},"status":"Bad"}',
        b'{"key":%(key)b,"request":%(request)b,"response":{"mine":1}}',
    ]
)
keyed = st.builds(
    lambda way, key, request, ascii: (
        way
        % {
            b"key": json.dumps(key, ensure_ascii=ascii).encode(),
            b"request": json.dumps(request).encode(),
        }
    ),
    ways,
    keys,
    st.just(GOOD) | requests,
    st.booleans(),
)


def same_outcome(text: bytes, rules: Rules) -> None:
    for unknown in ("reject", "allow"):
        # "skip": with "reject", three lines of Latin-1 end the reading.
        chosen = replace(rules, unknown=unknown, on_invalid="skip")
        looking = Checker(chosen, fast=False, own=True)
        passing = Checker(chosen, own=True)
        assert passing._good
        passing._good.due = lambda: True  # type: ignore[method-assign]

        looked, passed = list(looking.blocks([text])), list(passing.blocks([text]))

        assert passed == looked


each_backend = pytest.mark.parametrize("backend", ["vertex", "developer"])
configs = st.sampled_from([None, b'{"topP": 1}', b"{}"])


@each_backend
@given(configs, st.lists(requests, max_size=6), requests)
def test_fast_paths_have_the_outcome_of_an_inspection(
    backend: str, config: bytes | None, before: list[Any], last: Any
) -> None:
    """Each line three times, so that later ones take the fast path of the first."""
    text = file(*[line for line in [*before, last] for _ in range(3)])

    same_outcome(text, Rules(backend=backend, generation_config=config))


@each_backend
@given(configs, st.lists(keyed, max_size=12))
def test_a_keyed_line_is_cut_as_it_would_be_parsed(
    backend: str, config: bytes | None, lines: list[bytes]
) -> None:
    known = [{"key": f"k{number}", "request": GOOD} for number in range(3)]

    rules = Rules(backend=backend, generation_config=config)
    same_outcome(file(*known, *lines), rules)


#: Values of columns; some aren't JSON, or can't be held.
column_values = st.sampled_from(
    [
        *(b'"x"', b'""', b'"a b, {}"', b"7", b"1.50", b"-0", b"null", b"true"),
        *(
            b'"\\u0061"',
            b'"\\""',
            '"é"'.encode(),
            b'"\xff"',
            b'"',
            b"01",
            b"1.",
            b"nul",
        ),
        *(b"1e2", b"1e999", b"9" * 18, b"9" * 19, b"9" * 4301, b"{}", b"[1]", b""),
    ]
)
column_names = st.sampled_from(
    ["n", "a.b", "a%b", "é", "metadata", "model", "temperature", "custom_id", "labels"]
)


@each_backend
@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "keyed"])
@given(column_names, st.lists(st.tuples(column_names, column_values, column_values)))
def test_a_line_with_columns_is_cut_as_it_would_be_parsed(
    backend: str, keyed: bool, name: str, found: list[tuple[str, bytes, bytes]]
) -> None:
    known = [(name, b'"x"', b"1")] * 3
    request = json.dumps(GOOD).encode()
    lines = []
    for number, (other, first, second) in enumerate([*known, *found]):
        key = b'"key":"k%d",' % number if keyed else b""
        # Every other line has the columns of the known ones.
        column = (other if number % 2 else name).encode()
        columns = b'"customer":%b, "%b": %b,' % (first, column, second)
        lines.append(b"{" + key + columns + b'"request":' + request + b"}")

    same_outcome(file(*lines), Rules(backend=backend))


#: A line's own configuration, by the names that it may have; some are none at all.
names = st.sampled_from(
    [
        b'"generationConfig"',
        b'"generation_config"',
        rb'"\u0067enerationConfig"',
        rb'"generation\u005fconfig"',
        rb'"x\"generation_config"',
        b'"labels"',
    ]
)
configurations = st.sampled_from(
    [
        b'{"topP":0}',
        b'{ "topP" : 0 , "topK":123456789012345678901234567890 }',
        b'{"topP":0,"topP":1}',
        b'{"top_p":0}',
        b'{"top_p":0,"topP":1}',
        rb'{"\u0074opP":0}',
        b'{"topK":{"topP":0}}',
        b'{"maxOutputTokens":7}',
        b'{"maxOutputTokens":7.0}',
        b'{"maxOutputTokens":7.5}',
        b'{"maxOutputTokens":"7"}',
        b'{"maxOutputTokens":"many"}',
        b'{"mediaResolution":"MEDIA_RESOLUTION_LOW"}',
        b'{"mediaResolution":"media_resolution_low"}',
        b'{"mediaResolution":"media-resolution-low"}',
        b'{"mediaResolution":"low"}',
        b'{"mediaResolution":1}',
        b'{"responseLogprobs":"true"}',
        b'{"stopSequences":"a"}',
        b'{"stopSequences":["a"]}',
        b'{"maxTokens":7}',
        b'{"topP":"a"}',
        b'{"topP":"\xff"}',
        b'{"topP":0}}',
        b'{"topP":null}',
        b"{}",
        b"{ }",
        b"null",
        b'"{}"',
    ]
)
contents = json.dumps(GOOD["contents"]).encode()
speaking = json.dumps([{"role": "user", "parts": [{"text": '"topP":0 {"topP":0}'}]}])
configured = st.builds(
    lambda way, one, other, own, second: (
        way
        % {
            b"contents": contents,
            b"speaking": speaking.encode(),
            b"one": one,
            b"other": other,
            b"own": own,
            b"second": second,
        }
    ),
    st.sampled_from(
        [
            b'{"contents":%(contents)b,%(one)b:%(own)b}',
            b'{%(one)b : %(own)b, "contents":%(speaking)b}',
            b'{"contents":%(contents)b,%(one)b:%(own)b,%(other)b:%(second)b}',
            b'{"contents":%(contents)b,"labels":{%(one)b:%(own)b},%(other)b:%(own)b}',
            b'{%(one)b:%(own)b,"contents":%(contents)b,%(one)b:%(second)b}',
        ]
    ),
    names,
    names,
    configurations,
    configurations,
)


@each_backend
@given(st.booleans(), st.lists(configured, max_size=6), st.permutations([0, 0, 1, 2]))
def test_a_configuration_is_put_in_as_it_would_be_parsed(
    backend: str, wrapped: bool, some: list[bytes], known: list[int]
) -> None:
    """A known line first, then each line twice."""
    taught = [
        good(),
        good(generationConfig={"topP": 0}),
        good(generationConfig={"topK": 1}, labels={"topP": 1}),
    ]
    lines = [json.dumps(taught[number]).encode() for number in known]
    lines += [line for line in some for _ in range(2)]
    if wrapped:
        lines = [b'{"request": %b}' % line for line in lines]

    rules = Rules(backend=backend, generation_config=b'{"topP": 1, "temperature": 0}')
    same_outcome(file(*lines), rules)


#: What a line may have itself of what a configuration puts beside the contents.
MODE = {"functionCallingConfig": {"mode": "NONE"}}
beside = st.builds(
    lambda way, name, own, second: (
        way % {b"contents": contents, b"name": name, b"own": own, b"second": second}
    ),
    st.sampled_from(
        [
            b'{"contents":%(contents)b,%(name)b:%(own)b}',
            b'{%(name)b : %(own)b, "contents":%(contents)b}',
            b'{"contents":%(contents)b,"generationConfig":{"topP":0},%(name)b:%(own)b}',
            b'{"contents":%(contents)b,"generationConfig":{"topP":0}}',
            b'{"contents":%(contents)b,%(name)b:%(own)b,"toolConfig":%(second)b}',
            b'{"contents":%(contents)b,"labels":{%(name)b:"x"},%(name)b:%(own)b}',
        ]
    ),
    st.sampled_from(
        [
            b'"toolConfig"',
            b'"tool_config"',
            rb'"\u0074oolConfig"',
            b'"labels"',
            b'"generationConfig"',
        ]
    ),
    owns := st.sampled_from(
        [
            json.dumps(MODE).encode(),
            b'{"function_calling_config":{"mode":"NONE"}}',
            b'{"toolConfig":"x"}',
            b'{"toolConfig":"\xff"}',
            b'{"topP":0}',
            b"{}",
            b"null",
            b'"toolConfig"',
        ]
    ),
    owns,
)


@each_backend
@given(
    st.sampled_from(
        [
            {"tool_config": MODE},
            {"labels": {"toolConfig": "a"}, "toolConfig": MODE, "topP": 1},
        ]
    ),
    st.lists(beside, max_size=6),
    st.permutations([0, 0, 1, 2]),
)
def test_what_stands_beside_the_contents_is_put_in_as_it_would_be_parsed(
    backend: str, config: dict[str, Any], some: list[bytes], known: list[int]
) -> None:
    """A known line first, then each line twice."""
    taught = [good(), good(toolConfig=MODE), good(generationConfig={"topP": 0})]
    lines = [json.dumps(taught[number]).encode() for number in known]
    lines += [line for line in some for _ in range(2)]

    rules = Rules(backend=backend, generation_config=json.dumps(config).encode())
    same_outcome(file(*lines), rules)


#: Embedding lines: how they open, what is to be embedded, and how they end.
openings = st.sampled_from(
    [
        b'{"content":',
        b'{ "content" : ',
        b'{"text":',
        b'{"contents":',
        b'{"content":"z","content":',
        b'{"key":"KEY","content":',
        b'{"key":"7","content":',
        b'{"key":"KEY", "text":',
        b'{"custom_id":"KEY","content":',
        b'{"taskType":"CLUSTERING","content":',
        b'{"key":"KEY","request":{"content":',
    ]
)
embedded = st.sampled_from(
    [
        b'"hi"',
        b'"hi" ',
        b'"{}"',
        b'"content"',
        b'"CLUSTERING"',
        b'""',
        b'"\xff"',
        rb'"\ud800"',
        b'"a","b"',
        b'"a", "taskType":"b"',
        b'"a"}]},"x":[{"y":"b"',
        b'{"parts":[{"text":"hi"}]}',
        b'{ "parts" : [{"text":"hi", "n":1}] }',
        b'{"parts":[{"text":"hi"}]},"taskType":"b"',
        b'{"parts":[{"text":"hi"}]},"content":{"parts":[{"text":"b"}]}',
        b'{"parts":[{"text":7}]}',
        b'{"parts":[]}',
        b"{}",
        b'["hi"]',
        b"7",
        b"null",
        b"",
    ]
)
endings = st.sampled_from(
    [
        b"}",
        b" }",
        b"}}",
        b"]",
        b',"taskType":"CLUSTERING"}',
        b', "task_type":"CLUSTERING","outputDimensionality":3}',
        b',"embed_content_config":{"taskType":"CLUSTERING"}}',
        b',"title":null}',
        b',"title":{}}',
        b',"model":"MODEL"}',
        b',"model":"another"}',
        b',"content":"b"}',
        b',"content":"hi"}',
        b',"key":"z"}',
        b',"text":"b"}',
        b',"key":"KEY"}',
        b',"mine":[1,{}]}',
        b',"mine":"\xff"}',
        b',"mine":1,}',
        b',"parameters":{"outputDimensionality":3}}',
        b',"parameters":{"mine":3}}',
        b',"config":"mine"}',
        b',"response":{"embedding":{}}}',
        b',"response":"mine"}',
    ]
)


@pytest.mark.parametrize(
    ("backend", "model"),
    [
        ("vertex", EMBEDDING),
        ("vertex", "text-embedding-005"),
        ("developer", EMBEDDING),
    ],
)
@example(b'{"key":"KEY","content":', b',"key":"z"}', [(b'"a"',)], [])
@example(b'{"content":', b',"content":"hi"}', [(b'"a"',)], [])
@given(
    openings,
    endings,
    st.lists(st.tuples(embedded), min_size=1, max_size=6),
    st.lists(st.tuples(openings, embedded, endings), max_size=6),
)
def test_what_is_embedded_is_cut_as_it_would_be_parsed(
    backend: str,
    model: str,
    opening: bytes,
    ending: bytes,
    alike: list[tuple[bytes]],
    others: list[tuple[bytes, bytes, bytes]],
) -> None:
    """Lines that open and end alike, and others."""
    first = opening + b'"hi"' + ending
    lines = [first, first, *(opening + value + ending for (value,) in alike)]
    lines += [b"".join(parts) for parts in others]
    text = b"\n".join(
        line.replace(b"KEY", b"k%d" % number).replace(b"MODEL", model.encode())
        for number, line in enumerate(lines)
    )

    same_outcome(text, Rules(backend=backend, model=model))


bodies = st.sampled_from(
    [
        b'{"messages":[{"role":"user","content":"hi"}]}',
        b'{"messages":[{"role":"user","content":"hi"}], "n":{}}',
        b'{"messages":[{"role":"user","content":"hi"}], "model":"another"}',
        b'{"messages":[{"role":"user","content":"\xff"}]}',
        b'{"input":"hi"}',
        b'{"messages":[]}',
        b'{"messages":[{"role":"user","content":"hi"}]},"body":{"input":"hi"}',
        b'{"messages":[{"role":"user","content":"hi"}]},"mine":1',
        b"{}",
        b"null",
        b"[]",
        b"",
    ]
)
asked = st.sampled_from(
    [
        b'{"custom_id":"KEY","method":"POST","url":"/v1/chat/completions","body":BODY}',
        b'{"custom_id":"KEY","method":"POST","url":"/v1/embeddings","body": BODY }',
        b'{ "custom_id":"KEY" ,"method" :"POST" , "url": "/v1/embeddings","body":BODY}',
        b'{"custom_id":"KEY","method":"GET","url":"/v1/chat/completions","body":BODY}',
        b'{"custom_id":"KEY","method":"POST","url":"/v1/completions","body":BODY}',
        b'{"custom_id":"KEY","method":"POST","url":"/v1/embeddings?","body":BODY}',
        b'{"method":"POST","url":"/v1/chat/completions","body":BODY}',
        b'{"method":"POST","url":"/v1/embeddings","body":BODY,"custom_id":"KEY"}',
        b'{"custom_id":"k0","method":"POST","url":"/v1/embeddings","body":BODY}',
        b'{"custom_id":"7","method":"POST","url":"/v1/embeddings","body":BODY}',
        b'{"custom_id":"KEY","method":"POST","body":BODY}',
        b'{"custom_id":"KEY","body":BODY}',
    ]
)


@pytest.mark.parametrize(
    "rules",
    [
        Rules(model=LLAMA),
        Rules(backend="developer"),
        Rules(backend="developer", openai=True),
    ],
)
@given(asked, st.lists(st.tuples(asked, bodies), max_size=10))
def test_an_openai_style_line_is_cut_as_it_would_be_parsed(
    rules: Rules, opening: bytes, others: list[tuple[bytes, bytes]]
) -> None:
    body = b'{"messages":[{"role":"user","content":"hi"}]}'
    lines = [(opening, body), (opening, body), *others]
    text = b"\n".join(
        line.replace(b"KEY", b"k%d" % number).replace(b"BODY", body)
        for number, (line, body) in enumerate(lines)
    )

    same_outcome(text, rules)


def inspected(lines: list[object], rules: Rules) -> int:
    """How many of these lines, which are all good, the cut didn't take."""
    checker = Checker(rules)
    looked = []
    row = checker._row
    checker._row = lambda *of: looked.append(of) or row(*of)  # type: ignore

    # If the first line changes the rules, all of its piece are read one by one.
    pieces = [file(*lines[:5], b""), file(*lines[5:])]
    rows = sum(block.rows for block in checker.blocks(pieces))

    assert rows == len(lines)
    return len(looked)


@each_backend
@pytest.mark.parametrize("config", [None, b'{"topP": 1}'], ids=["as it is", "merged"])
@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "keyed"])
@pytest.mark.parametrize("own", [None, "generationConfig", "generation_config"])
def test_lines_of_one_form_are_passed_without_an_inspection(
    backend: str, config: bytes | None, keyed: bool, own: str | None
) -> None:
    lines: list[object] = []
    for number in range(100):
        contents = [{"role": "user", "parts": [{"text": f"{number}"}]}]
        request = {"contents": contents, **({own: {"topK": number}} if own else {})}
        lines.append({"key": f"k{number}", "request": request} if keyed else request)

    assert inspected(lines, Rules(backend=backend, generation_config=config)) < 20


@pytest.mark.parametrize(
    ("backend", "model"),
    [
        ("vertex", EMBEDDING),
        ("vertex", "text-embedding-005"),
        ("developer", EMBEDDING),
    ],
)
@pytest.mark.parametrize("name", ["content", "text", "contents"])
@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "keyed"])
@pytest.mark.parametrize("more", [{}, {"taskType": "CLUSTERING", "mine": [1]}])
def test_embedding_lines_that_end_alike_are_passed_without_an_inspection(
    backend: str, model: str, name: str, keyed: bool, more: dict[str, Any]
) -> None:
    lines: list[object] = [
        {**({"key": f"k{number}"} if keyed else {}), name: f"text {number}", **more}
        for number in range(100)
    ]

    assert inspected(lines, Rules(backend=backend, model=model)) < 20


@each_backend
@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "keyed"])
def test_lines_with_columns_are_passed_without_an_inspection(
    backend: str, keyed: bool
) -> None:
    lines: list[object] = [
        {
            **({"key": f"k{number}"} if keyed else {}),
            "customer": f"c{number}",
            "n": number / 2,
            "request": GOOD,
        }
        for number in range(100)
    ]

    assert inspected(lines, Rules(backend=backend)) < 20


def test_contents_to_embed_are_passed_without_an_inspection() -> None:
    lines: list[object] = [
        {"content": {"parts": [{"text": f"text {number}"}]}} for number in range(100)
    ]

    assert inspected(lines, Rules(model=EMBEDDING)) < 20


@pytest.mark.parametrize("rules", [Rules(model=LLAMA), Rules(backend="developer")])
def test_openai_style_lines_are_passed_without_an_inspection(rules: Rules) -> None:
    lines: list[object] = [
        {
            "custom_id": f"k{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {**TURNS, "n": number},
        }
        for number in range(100)
    ]

    assert inspected(lines, rules) < 20


def test_lines_of_many_forms_need_few_decoders() -> None:
    """To make one takes as long as to inspect many lines."""
    lines = [good(labels={f"n{number}": "x"}) for number in range(3000)]
    checker = Checker(Rules())
    made = []
    assert checker._good
    due = checker._good.due
    checker._good.due = lambda: due() and not made.append(1)  # type: ignore

    rows = sum(block.rows for block in checker.blocks([file(*lines)]))

    assert rows == 3000
    assert len(made) < 100


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_a_name_that_no_decoder_can_know_is_taken_all_the_same(name: str) -> None:
    line = good(labels={name: "x", "n": 1})

    sent = staged(*many(line), backend="developer")

    assert [each["request"] for each in sent] == many(line)


@given(st.binary(max_size=40))
def test_no_line_whatever_breaks_the_reader(line: bytes) -> None:
    checker = Checker(Rules())

    blocks = list(checker.blocks([b" ", line]))  # so that none begins like gzip

    read = sum(block.rows + len(block.refused) for block in blocks)
    assert read == checker.rows.total <= line.count(b"\n") + 1


@given(st.recursive(st.booleans() | st.integers() | st.text(), st.lists))
def test_any_value_comes_out_as_it_went_in(value: object) -> None:
    part = {"functionCall": {"args": {"n": value}}}
    line = {"contents": [{"role": "user", "parts": [part]}]}

    assert staged(line, backend="developer") == [{"key": "r0000001", "request": line}]


# -- keys -----------------------------------------------------------------------------


class Hashed(bytes):
    """A key with a chosen hash."""

    hash = 0

    def __hash__(self) -> int:
        return self.hash


def hashed(hash: bytes) -> Hashed:
    key = Hashed()
    key.hash = int.from_bytes(hash, "little")
    return key


def test_a_key_is_found_at_the_line_where_it_was_first() -> None:
    keys, lines = Keys(), dict[bytes, int]()

    for line in range(20_000):
        key = b"k%d" % (line * line % 12_345)
        assert keys.first(key, line) == lines.setdefault(key, line)


def test_a_key_is_not_found_across_others() -> None:
    keys, low = Keys(), b"\1\2\0\0"
    keys.first(hashed(low + low), 5)

    found = keys.first(hashed(low + b"\5\0\0\0"), 9)

    assert found == 9
    assert keys.first(hashed(low + b"\5\0\0\0"), 10) == 9
    assert keys.first(hashed(low + low), 11) == 5


def test_a_staged_line_is_json_whatever_surrounds_it() -> None:
    for line in (b"  {%b\t} \r", b"\t{%b}", b"{\r%b}"):
        request = json.dumps(GOOD)[1:-1].encode()
        _, sent, row_errors = read_all(line % request, Rules())
        assert row_errors == []
        assert msgspec.json.decode(sent[0])["request"] == GOOD


def test_a_configuration_that_is_null_is_none_where_there_is_no_import() -> None:
    (line,) = staged(
        good(generationConfig=None),
        backend="developer",
        generation_config=b'{"temperature": 0}',
    )

    assert line["request"]["generationConfig"] == {"temperature": 0}


@pytest.mark.parametrize("before", [0, 30])
def test_columns_of_an_embedding_line_may_have_any_name(before: int) -> None:
    line = {"text": "hi", "method": "mail", "url": "x", "body": "Dear ..."}

    sent = staged(*many({"text": "hi"}, before), line, model=EMBEDDING)

    assert sent[-1]["request"] == {"content": HI}


@pytest.mark.parametrize("name", ["config", "parameters", "generationConfig"])
@pytest.mark.parametrize("mine", [True, 7, "taskType", ["taskType"], None, {"a": 1}])
def test_a_column_of_an_embedding_line_may_have_the_name_of_options(
    name: str, mine: object
) -> None:
    (sent,) = staged({"text": "hi", name: mine}, model=EMBEDDING)

    assert sent["request"] == {"content": HI}


def kept(lines: list[bytes], **chosen: Any) -> int:
    """The bytes that a checker keeps of these lines once it has read them."""
    checker = Checker(Rules(**chosen))
    list(checker.blocks(lines[:2]))
    tracemalloc.start()
    for _ in checker.blocks(lines[2:]):
        pass
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return left


@pytest.mark.parametrize(
    ("line", "chosen"),
    [
        ('{"content": "x", %s: 1}', {"model": "gemini-embedding-2"}),
        ('{"contents": [{"parts": [{"text": "x"}]}], %s: 1}', {"backend": "developer"}),
        (
            '{"contents": [{"parts": [{"text": "x"}]}], "labels": {%s: "x"}}',
            {"backend": "developer"},
        ),
    ],
    ids=["beside a text", "unknown", "the user's own"],
)
def test_the_names_of_long_lines_are_not_kept(
    line: str, chosen: dict[str, Any]
) -> None:
    names = [f'"{"n" * 100_000}{n}"' for n in range(60)]
    lines = [f"{line % name}\n".encode() for name in names]

    assert kept(lines, **chosen) < 1_000_000
