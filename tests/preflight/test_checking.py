"""What becomes of a file's lines: which are sent, how, and under which id."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.preflight import Checker, Rules, own_columns
from batchdrop.preflight.keys import Keys
from tests.preflight.reading import GOOD, file, good, many, read_all, staged, told

CLAUDE = "publishers/anthropic/models/claude-sonnet-4-5"
LLAMA = "publishers/meta/models/llama-3.3-70b-instruct-maas"
EMBEDDING = "gemini-embedding-001"
HI = {"parts": [{"text": "hi"}]}
TURNS = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}


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
            {"custom_id": "a", "request": TURNS},
            {"custom_id": "r0000001", "request": TURNS},
        ),
        (CLAUDE, TURNS, {"custom_id": "r0000001", "request": TURNS}),
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

    _, sent, faults = read_all(file(*[line] * times), Rules())

    assert faults == []
    assert sent[-1] == b'{"key":"r%07d","request":%b}' % (times, line)


@pytest.mark.parametrize("times", [1, 30])
def test_a_wrapped_request_keeps_its_bytes(times: int) -> None:
    request = b'{"contents": [{"role":"user","parts":[{"text":"x"}]}], "n": 1.10}'
    line = b'{"more": 1, "request": %b , "other": {"request": 7}}' % request

    _, sent, _ = read_all(file(*[line] * times), Rules())

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


def test_what_a_line_has_beside_its_request_may_be_anything() -> None:
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


def test_a_merged_configuration_keeps_all_bytes() -> None:
    line = (
        b'{"contents":[{"role":"user","parts":[{"text":"x"}]}],'
        b'"generationConfig":{"seed":123456789012345678901234567890}}'
    )
    rules = Rules(generation_config=b'{"temperature": 0.50}')

    _, sent, _ = read_all(line, rules)

    assert b'"seed":123456789012345678901234567890' in sent[0]
    assert b'"temperature":0.50' in sent[0]


@pytest.mark.parametrize(
    "own",
    [
        {"generationConfig": {"topP": 1, "top_p": 0}},
        {"generationConfig": {"topP": 1}, "generation_config": {"topP": 0}},
    ],
)
def test_merging_hides_no_second_spelling(own: dict[str, Any]) -> None:
    found = told(good(**own), generation_config=b'{"temperature": 0}')

    assert [code for _, _, code in found] == ["mixed_case"]


@pytest.mark.parametrize(
    ("config", "model", "says"),
    [
        (b"[]", "gemini-2.5-flash", "no JSON object"),
        (b"{", "gemini-2.5-flash", "no JSON object"),
        (b"{}", CLAUDE, "for Gemini"),
    ],
)
def test_a_configuration_that_can_not_be_merged_is_refused(
    config: bytes, model: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Rules(generation_config=config, model=model)


# -- mending ------------------------------------------------------------------------


def test_what_needs_no_guess_is_mended_and_counted() -> None:
    bad = good(
        n=None,
        labels={},
        systemInstruction={"parts": [None, {"text": "x"}, {}]},
        deep={"a": {"b": {"c": None}}},
    )
    spelled = good(generation_config={"top_p": 1})
    first = good(generationConfig={"topP": 1})

    checker, sent, faults = read_all(file(*many(first), bad, spelled), Rules(fix=True))

    assert faults == []
    assert checker.rows.fixed == 2
    assert json.loads(sent[-2])["request"] == good(
        systemInstruction={"parts": [{"text": "x"}]}
    )
    assert json.loads(sent[-1])["request"] == first


def test_mending_keeps_the_bytes_of_all_else() -> None:
    line = (
        b'{"contents":[{"role":"user","parts":[{"text":"\\u00e4"}]}],"x":null,'
        b'"n":123456789012345678901234567890,"m":1.10}'
    )

    _, sent, _ = read_all(line, Rules(fix=True))

    assert sent == [
        b'{"key":"r0000001","request":{"contents":[{"role":"user",'
        b'"parts":[{"text":"\\u00e4"}]}],"n":123456789012345678901234567890,'
        b'"m":1.10}}'
    ]


def test_what_would_change_the_request_is_not_mended() -> None:
    lines = [
        good(tools=[{"googleSearch": {}}]),
        good(topP=1, top_p=1),
        {"contents": [{"role": None, "parts": [{"text": "x"}]}]},
        {"contents": []},
    ]

    assert {line for line, _, _ in told(*lines, fix=True)} == {1, 2, 3, 4}


def test_a_mended_line_keeps_the_shape_and_columns_it_was_written_in() -> None:
    line = b'{"id": 1.10, "request": {"n": null, "contents": %b}, "key": "a"}'
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
keys = st.sampled_from(["a", "b", "a-1", "é", 'a"b', "7", "-1.5", "1e3", "7x", ""])
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


def same_said(text: bytes, rules: Rules) -> None:
    looking, passing = Checker(rules), Checker(rules)
    looking._columns.due = lambda: False  # type: ignore[method-assign]
    passing._columns.due = lambda: True  # type: ignore[method-assign]

    looked, passed = list(looking.blocks([text])), list(passing.blocks([text]))

    assert passed == looked


each_backend = pytest.mark.parametrize("backend", ["vertex", "developer"])
each_config = pytest.mark.parametrize("config", [None, b'{"topP": 1}', b"{}"])


@each_backend
@each_config
@given(st.lists(requests, max_size=6), requests)
def test_a_decoder_says_the_same_as_a_look(
    backend: str, config: bytes | None, before: list[Any], last: Any
) -> None:
    """Each line thrice, so that what the first taught, the others are passed by."""
    text = file(*[line for line in [*before, last] for _ in range(3)])

    same_said(text, Rules(backend=backend, generation_config=config))


@each_backend
@each_config
@given(st.lists(keyed, max_size=12))
def test_a_keyed_line_is_cut_as_it_would_be_parsed(
    backend: str, config: bytes | None, lines: list[bytes]
) -> None:
    known = [{"key": f"k{number}", "request": GOOD} for number in range(3)]

    rules = Rules(backend=backend, generation_config=config)
    same_said(file(*known, *lines), rules)


@each_backend
@pytest.mark.parametrize("keyed", [False, True], ids=["plain", "keyed"])
def test_lines_of_one_form_are_passed_without_a_look(backend: str, keyed: bool) -> None:
    lines = [
        {"key": f"k{number}", "request": good(n=number)} if keyed else good(n=number)
        for number in range(100)
    ]
    checker = Checker(Rules(backend=backend))
    looked = []
    row = checker._row
    checker._row = lambda *of: looked.append(of) or row(*of)  # type: ignore

    rows = sum(block.rows for block in checker.blocks([file(*lines)]))

    assert rows == 100
    assert len(looked) < 20


def test_lines_of_many_forms_need_few_decoders() -> None:
    """To make one takes as long as to look at many lines."""
    lines = [good(n={f"n{number}": 1}) for number in range(3000)]
    checker = Checker(Rules())
    made = []
    due = checker._columns.due
    checker._columns.due = lambda: due() and not made.append(1)  # type: ignore

    rows = sum(block.rows for block in checker.blocks([file(*lines)]))

    assert rows == 3000
    assert len(made) < 100


@given(st.binary(max_size=40))
def test_no_line_whatever_breaks_the_reader(line: bytes) -> None:
    checker = Checker(Rules())

    blocks = list(checker.blocks([b" ", line]))  # so that none begins like gzip

    read = sum(block.rows + len(block.refused) for block in blocks)
    assert read == checker.rows.total <= line.count(b"\n") + 1


@given(st.recursive(st.booleans() | st.integers() | st.text(), st.lists))
def test_any_value_comes_out_as_it_went_in(value: object) -> None:
    line = good(n=value)

    assert staged(line, backend="developer") == [{"key": "r0000001", "request": line}]


# -- keys -----------------------------------------------------------------------------


class Hashed(bytes):
    """A key with a hash of one's choice."""

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
        _, sent, faults = read_all(line % request, Rules())
        assert faults == []
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
