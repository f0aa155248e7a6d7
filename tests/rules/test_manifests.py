"""Manifests: what is read from them, and the errors of wrong ones."""

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.errors import BadChoice
from batchdrop.options.manifest_json import MAX_SIZE, MAX_VALUES
from batchdrop.options.manifests import Manifest
from batchdrop.preflight import Checker, Rules

BIG = "123456789012345678901234567890"


def parsed(**members: Any) -> Manifest:
    return Manifest.parse(json.dumps(members).encode())


def error_of(data: bytes | str) -> str:
    """The error of a manifest."""
    with pytest.raises(BadChoice) as caught:
        read(data.encode() if isinstance(data, str) else data)
    assert caught.value.code == "bad_manifest"
    return str(caught.value)


def read(data: bytes, kind: str = "generation") -> list[bytes]:
    return list(Manifest.parse(data).lines(kind))


def code_of(data: bytes, kind: str = "generation") -> str:
    """The code of a manifest's refusal; empty if it is read."""
    try:
        read(data, kind)
    except BadChoice as exc:
        return exc.code
    return ""


def lines_of(src: str, kind: str = "generation") -> list[bytes]:
    manifest = Manifest.parse(f'{{"src": {src}}}'.encode())
    return list(manifest.lines(kind))


def accepted(lines: list[bytes], model: str) -> int:
    """The number of lines that the preflight accepts."""
    checker = Checker(Rules(model=model))
    for block in checker.blocks([b"\n".join(lines)]):
        assert not block.refused, block.refused
    return checker.accepted


def test_a_manifest_without_source_is_for_the_file_beside_it() -> None:
    assert not Manifest.parse(b"{}").has_source


@pytest.mark.parametrize(
    ("src", "field", "value"),
    [
        ("gs://bucket/a.jsonl", "objects", ("gs://bucket/a.jsonl",)),
        (
            ["gs://bucket/a.jsonl", "gs://bucket/b/c.jsonl"],
            "objects",
            ("gs://bucket/a.jsonl", "gs://bucket/b/c.jsonl"),
        ),
        ("bq://p-1.d.t_2", "table", "bq://p-1.d.t_2"),
        ("bq://example.com:p.d.t", "table", "bq://example.com:p.d.t"),
        (
            "projects/p/locations/us/datasets/7",
            "dataset",
            "projects/p/locations/us/datasets/7",
        ),
    ],
)
def test_a_source_elsewhere_is_kept_as_it_is_written(
    src: Any, field: str, value: Any
) -> None:
    manifest = parsed(src=src)

    assert getattr(manifest, field) == value
    assert manifest.has_source


@pytest.mark.parametrize("destination", ["destination", "dest"])
@pytest.mark.parametrize(
    "value",
    [
        "gs://out/x",
        "gs://out/x/",
        {"gcs_uri": "gs://out/x"},
        {"gcsUri": "gs://out/x", "format": "jsonl"},
    ],
)
def test_a_destination_is_read_in_each_of_its_spellings(
    destination: str, value: Any
) -> None:
    manifest = parsed(config={destination: value})

    assert manifest.choices == {"destination": "gs://out/x/"}


@pytest.mark.parametrize("name", ["bigquery_uri", "bigqueryUri"])
def test_a_table_may_be_the_destination(name: str) -> None:
    assert parsed(config={"dest": {name: "bq://p.d.t"}}).choices == {
        "destination": "bq://p.d.t"
    }
    assert parsed(config={"dest": "bq://p.d"}).choices == {"destination": "bq://p.d"}


def test_a_configuration_is_read_in_both_cases() -> None:
    camel = parsed(
        config={
            "displayName": "mine",
            "generationConfig": {"temperature": 0},
            "onInvalid": "skip",
            "maxInvalid": 3,
            "fix": True,
            "kind": "generation",
            "labels": {"team": "search"},
        }
    )
    snake = parsed(
        config={
            "display_name": "mine",
            "generation_config": {"temperature": 0},
            "on_invalid": "skip",
            "max_invalid": 3,
            "fix": True,
            "kind": "generation",
            "labels": {"team": "search"},
        }
    )

    assert camel == snake
    assert camel.choices["generation_config"] == '{"temperature": 0}'
    assert camel.choices["max_invalid"] == 3


def test_null_chooses_nothing_and_an_empty_configuration_chooses_none() -> None:
    manifest = parsed(model=None, src=None, config={"fix": None, "labels": None})
    empty = parsed(config={"generation_config": {}})

    assert manifest == Manifest()
    assert empty.choices == {"generation_config": None}


def test_a_configuration_keeps_its_bytes_on_one_line() -> None:
    text = f'{{"config": {{"generationConfig": {{\n "seed": {BIG},\r\n "x": 1.10}}}}}}'

    manifest = Manifest.parse(text.encode())

    assert manifest.choices["generation_config"] == f'{{  "seed": {BIG},   "x": 1.10}}'


def test_a_byte_order_mark_is_no_part_of_it() -> None:
    assert Manifest.parse(b'\xef\xbb\xbf{"model": "m"}').model == "m"


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("", "", "it is empty; write"),
        ('{"model": ', "", "no JSON"),
        ('{"model": "a"}\n{"model": "b"}', "", "more than one value"),
        ('{"contents": [{"role": "user"}]}', "", "it is a row, and no manifest"),
        ('{"key": "a", "request": {}}', "", "it is a row, and no manifest"),
        ('{"labels": {"a": "b"}}', "labels", '{"config": {"labels": ...}}'),
        ('{"displayName": "a"}', "displayName", '{"config": {"displayName": ...}}'),
        ('{"temperature": 1}', "temperature", '{"generation_config": {"temperature"'),
        (
            '{"config": {"topK": 1}}',
            "config.topK",
            'as {"generation_config": {"topK": ...}}',
        ),
        ("[]", "", "got a list; write an object"),
        ('{"models": "x"}', "?", "write one of model, src, config"),
        ('{"model": 1}', "model", "write a text"),
        ('{"model": ""}', "model", "write a text"),
        ('{"src": 1}', "src", 'write "gs://bucket/object.jsonl"'),
        ('{"src": {"gcs_uri": "x"}}', "src", "got an object; write"),
        ('{"src": "files/abc"}', "src", 'write "gs://bucket/object.jsonl"'),
        ('{"src": []}', "src", "got an empty list"),
        ('{"src": "gs://bucket"}', "src", "write gs://bucket/object.jsonl"),
        ('{"src": "gs://bucket/"}', "src", "write gs://bucket/object"),
        ('{"src": "gs://bucket/a/"}', "src", "a part that is empty"),
        ('{"src": "gs://bucket/a*"}', "src", "has a wildcard"),
        ('{"src": ["gs://bucket/a", "gs://bucket/**"]}', "src[1]", "has a wildcard"),
        ('{"src": ["gs://bucket/a", "gs://bucket/a"]}', "src[1]", "src[0] has it too"),
        ('{"src": "gs://bucket/../x"}', "src", "made of dots"),
        ('{"src": "gs://bucket/a\\u0000b"}', "src", "write gs://bucket/object"),
        ('{"src": "gs://bucket/a\\nb"}', "src", "write gs://bucket/object"),
        ('{"src": ["gs://bucket/a", {}]}', "src[1]", "write all of one kind"),
        ('{"src": [1]}', "src[0]", "write a request, or a gs:// address"),
        ('{"src": ["bq://p.d.t"]}', "src[0]", "write gs://"),
        ('{"src": "bq://p.d"}', "src", "write bq://project.dataset.table"),
        ('{"src": "bq://p.d.t$2026"}', "src", "no decorators"),
        ('{"src": "bq://p.d.t_*"}', "src", "no wildcards"),
        ('{"config": []}', "config", "write an object"),
        ('{"config": {"colour": 1}}', "config.?", "write one of destination"),
        ('{"config": {"dest": "gs://b//"}}', "config.dest", "gs://bucket/prefix"),
        ('{"config": {"dest": "x"}}', "config.dest", "write gs://bucket/prefix/, or"),
        ('{"config": {"dest": {}}}', "config.dest", "one of gcs_uri and bigquery_uri"),
        (
            '{"config": {"dest": {"gcs_uri": "bq://p.d.t"}}}',
            "config.dest.gcs_uri",
            "write gs://",
        ),
        (
            '{"config": {"dest": {"vertex_dataset": {}}}}',
            "config.dest.?",
            "write one of gcs_uri, bigquery_uri",
        ),
        (
            '{"config": {"dest": "gs://out/a", "destination": "gs://out/a"}}',
            "config.destination",
            "given twice",
        ),
        ('{"config": {"fix": 1, "Fix": 1}}', "config.fix", "write true or false"),
        ('{"config": {"on_invalid": "x"}}', "config.on_invalid", '"reject" or "skip"'),
        ('{"config": {"unknown": "x"}}', "config.unknown", '"reject" or "allow"'),
        ('{"config": {"maxInvalid": "3"}}', "config.maxInvalid", "a whole number"),
        ('{"config": {"kind": "x"}}', "config.kind", '"generation" or "embedding"'),
        ('{"config": {"labels": []}}', "config.labels", "write labels by their names"),
        ('{"config": {"labels": {"A": "x"}}}', "config.labels", "lowercase letters"),
        (
            '{"config": {"generation_config": []}}',
            "config.generation_config",
            "JSON obj",
        ),
        (
            '{"config": {"display_name": "' + "x" * 129 + '"}}',
            "config.display_name",
            "at most 128",
        ),
    ],
)
def test_an_error_has_its_path_and_what_to_write(
    text: str, path: str, expected: str
) -> None:
    error = error_of(text)

    assert error.startswith(f"{path}: " if path else "")
    assert expected in error


@pytest.mark.parametrize(
    ("member", "rule"),
    [
        ("credentials", "can't name credentials"),
        ("api_key", "can't name credentials"),
        ("service_account", "can't name credentials"),
        ("serviceAccount", "can't name credentials"),
        ("encryption_spec", "can't name credentials"),
        ("http_options", "can't name addresses of services"),
        ("httpOptions", "can't name addresses of services"),
        ("webhook_config", "can't name addresses of services"),
        ("base_url", "can't name addresses of services"),
        ("api_url", "can't name addresses of services"),
        ("backend", "for the deployer, in the environment or a route"),
        ("location", "for the deployer, in the environment or a route"),
        ("max_rows", "for the deployer, in the environment or a route"),
        ("maxActive", "for the deployer, in the environment or a route"),
        ("cancel_after", "for the deployer, in the environment or a route"),
        ("project", "for the deployer, in the environment"),
        ("staging", "for the deployer, in the environment"),
        ("model", "write it beside config"),
    ],
)
def test_options_that_no_file_may_set_are_refused_by_name_with_the_rule(
    member: str, rule: str
) -> None:
    error = error_of(json.dumps({"config": {member: "x"}}))

    assert error.startswith(f"config.{member}: ")
    assert rule in error


@pytest.mark.parametrize("name", ["batchdrop_job", "Batchdrop_x", "batchdrop_"])
def test_labels_of_ours_are_refused(name: str) -> None:
    error = error_of(json.dumps({"config": {"labels": {name: "x"}}}))

    assert "labels that begin with batchdrop_ are batchdrop's own" in error


def test_a_manifest_that_is_too_big_or_not_utf_8_is_refused() -> None:
    assert "may have 10,000,000" in error_of(b" " * (MAX_SIZE + 1))
    assert "byte 12 is not UTF-8" in error_of(b'{"model": "\xff"}')


@pytest.mark.parametrize(
    "src",
    [
        *("bq://p.d.", "bq://p..t", "bq://.d.t", "BQ://p.d.t"),
        *("bq://p.d.t.more", "bq://p.d.INFORMATION_SCHEMA.TABLES", "bq://p.d/t"),
        *("bq://p.d.t*", "bq://p.d.*", "bq://p.*.t", "bq://p.d.t?x=1", "bq://p.d.t#1"),
        *("bq://p.d.t$20260301", "bq://p.d.t$__PARTITIONS_SUMMARY__"),
        *("bq://p.d.t@-3600000", "bq://p.d.t@0", "bq://p.d.t FOR SYSTEM_TIME AS OF x"),
        *("bq://`p.d.t`", "bq://p.d.`t`", "bq://p.d.t`; DROP TABLE x"),
        *("bq://p.d.t ", " bq://p.d.t", "bq://p.d.a b", "bq://p.d.t\t", "bq://p.d.t\n"),
        *("bq://p.d.t\nbq://p.d.u", "bq://p.d\r.t", "bq://p.d.t\0", "bq://p.d.t\u2028"),
        *("bq://p.d.tä", "bq://p.d.t\u0660", "bq://p\uff0ed.t"),
        *("bq://p.d.t%2e", "bq://p.d.../t", "bq://../p.d.t", "bq://u:pw@p.d.t"),
        *(
            "bq://P.d.t",
            "bq://p:q:r.d.t",
            "bq://p.d-x.t",
            'bq://p.d."t"',
            "bq://p.d.'t'",
        ),
        "bq://p.d." + "t" * 1_000_000,
        "bq://" + "p." * 500_000 + "t",
        *("projects/p/locations/us/datasets/7/", "projects/p/locations/us/datasets/"),
        *("projects/p/locations/us/datasets/7\n", "projects/p/locations/../datasets/7"),
        *(
            "projects/p/locations/us/datasets/a b",
            "projects/p/locations/us/datasets/7$1",
        ),
        *("projects//locations/us/datasets/7", "//projects/p/locations/us/datasets/7"),
        *(
            "projects/p/locations/us/datasets/7:delete",
            "projects/P/locations/us/datasets/7",
        ),
        "projects/p/locations/us/datasets/" + "7" * 1_000_000,
    ],
)
def test_no_other_name_passes_for_a_table_or_dataset_or_is_quoted(src: str) -> None:
    error = error_of(json.dumps({"src": src}))

    assert "bq://project.dataset.table" in error
    assert len(error) < 400
    assert src not in error


# -- bounds ------------------------------------------------------------------------


def listed(item: bytes, n: int) -> bytes:
    return b'{"src": [' + b",".join([item] * n) + b"]}"


@pytest.mark.parametrize(
    "data",
    [
        listed(b"{}", MAX_VALUES // 2),
        listed(b'{"contents": ["a", "b,{[", 1]}', MAX_VALUES // 5),
        b'{"config": {"labels": {' + b'"a": "b", ' * MAX_VALUES + b'"c": "d"}}}',
        b'"' * 4 * (MAX_VALUES + 1),
    ],
)
def test_a_manifest_with_too_many_values_is_refused_with_what_to_do(
    data: bytes,
) -> None:
    error = error_of(data)

    assert error.startswith("it has more than 500,000 values; write the requests into")


def test_brackets_and_commas_in_a_text_are_not_counted() -> None:
    text = b'{\\"a\\": [1, {}], \\\\\\"' * (MAX_VALUES // 4)  # five in each

    lines = read(b'{"src": [{"contents": [{"parts": [{"text": "' + text + b'"}]}]}]}')

    assert len(lines) == 1


def test_a_hundred_levels_are_read_and_not_one_more() -> None:
    def nested(levels: int) -> bytes:
        return b'{"src":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"

    assert "src[0]: got a list" in error_of(nested(100))
    assert "deeper than 100 levels" in error_of(nested(101))
    assert "deeper than 100 levels" in error_of(nested(200_000))


BOMBS = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (400 * 2**20, 400 * 2**20))
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))  # not of a clock: others work here
from batchdrop.errors import BadChoice
from batchdrop.options.manifests import Manifest

def listed(item, n=0):
    n = n or 9_900_000 // (len(item) + 1)
    return b'{"src":[' + (item + b",") * (n - 1) + item + b"]}"

for data in (
    listed(b"{}"),
    listed(b'""'),
    listed(b'{"contents":"a"}'),
    listed(b"{}", 249_000),
    listed(b'{"contents":[' + b'"",' * 490_000 + b'""]}', 1),
    b'{"src":' + b"[" * 9_900_000,
    b'{"src":[' + b",".join(b'"gs://bkt/%d"' % n for n in range(100_000)) + b"]}",
    b'"a' * 4_900_000,
):
    try:
        n = sum(1 for _ in Manifest.parse(data).lines())
    except BadChoice as exc:
        n = exc.code
    print(n)
"""


def test_no_manifest_takes_much_memory_or_time() -> None:
    done = subprocess.run([sys.executable, "-c", BOMBS], capture_output=True, text=True)

    assert (done.stderr, done.returncode) == ("", 0)
    bad = "bad_manifest"
    assert done.stdout.split() == [bad, bad, bad, "249000", "1", bad, "0", bad]


# -- requests ----------------------------------------------------------------------


def test_rows_keep_their_bytes_one_line_each() -> None:
    src = f"""[
        {{"contents": [{{"role": "user",
                        "parts": [{{"text": "a\\nb"}}]}}],
          "generationConfig": {{"seed": {BIG}, "topP": 1.10}}}},
        {{"contents": [{{"role": "user", "parts": [{{"text": "é"}}]}}]}}
    ]"""

    first, second = lines_of(src)

    assert b"\n" not in first
    assert f'"seed": {BIG}, "topP": 1.10'.encode() in first
    assert b'"a\\nb"' in first
    assert (
        second.decode() == '{"contents": [{"role": "user", "parts": [{"text": "é"}]}]}'
    )
    assert accepted([first, second], "gemini-3.8-flash") == 2


@pytest.mark.parametrize(
    ("item", "model"),
    [
        ('{"key": "k", "request": {"contents": [{"role": "user", "parts": []}]}}', ""),
        ('{"custom_id": "k", "request": {"messages": []}}', ""),
        ('{"custom_id": "k", "method": "POST", "url": "/v1", "body": {}}', ""),
        (
            '{"contents": [{"role": "user", "parts": [{"text": "a"}]}], "model": "m"}',
            "",
        ),
    ],
)
def test_each_shape_of_a_row_is_left_to_the_preflight(item: str, model: str) -> None:
    assert lines_of(f"[{item}]") == [item.encode()]


def test_the_sdks_requests_become_rows_with_their_own_keys() -> None:
    src = f"""[
        {{"contents": "hi", "metadata": {{"key": "mine"}},
          "config": {{"temperature": 0.10, "seed": {BIG},
                      "system_instruction": "be brief"}}}},
        {{"contents": [{{"role": "user", "parts": [{{"text": "ho"}}]}}],
          "config": {{}}}}
    ]"""

    lines = lines_of(src)

    assert lines[0].decode() == (
        '{"key":"mine","request":{"contents":[{"parts":[{"text":"hi"}],"role":"user"}],'
        '"systemInstruction":{"parts":[{"text":"be brief"}],"role":"user"},'
        f'"generationConfig":{{"temperature":0.10,"seed":{BIG}}}}}}}'
    )
    assert json.loads(lines[1]) == {
        "key": "request-2",
        "request": {"contents": [{"role": "user", "parts": [{"text": "ho"}]}]},
    }
    assert accepted(lines, "gemini-3.8-flash") == 2


@pytest.mark.parametrize("kept", ['{"key":"mine",\n"n":1.0}', f'{{"n":{BIG}}}'])
def test_the_metadata_of_the_sdks_requests_stays_beside_them(kept: str) -> None:
    src = f'[{{"contents": "hi", "metadata": {kept}}}, {{"contents": "ho"}}]'

    lines = lines_of(src)

    assert f'"metadata":{kept},"request"'.replace("\n", " ").encode() in lines[0]
    assert b"metadata" not in lines[1]
    assert accepted(lines, "gemini-3.8-flash") == 2


def test_where_one_is_in_the_sdks_shape_the_others_are_made_to_fit() -> None:
    src = """[
        {"contents": [{"role": "user", "parts": [{"text": "a"}]}]},
        {"contents": "b"}
    ]"""

    lines = lines_of(src)

    assert [json.loads(line)["key"] for line in lines] == ["request-1", "request-2"]
    assert accepted(lines, "gemini-3.8-flash") == 2


@pytest.mark.parametrize("kind", ["generation", "embedding"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("http_options", "a file can't name addresses of services"),
        ("httpOptions", "a file can't name addresses of services"),
        ("api_key", "a file can't name credentials"),
    ],
)
def test_a_request_can_not_name_services_or_credentials_either(
    kind: str, name: str, expected: str
) -> None:
    src = f'[{{"contents": "a", "config": {{"{name}": "x"}}}}]'

    with pytest.raises(BadChoice) as caught:
        lines_of(src, kind)

    assert caught.value.code == "bad_manifest"
    assert str(caught.value).startswith(f"src[0].config.{name}: {expected}")


@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("gemini-embedding-2", '{"output_dimensionality": 64}'),
        ("text-embedding-005", '{"task_type": "CLUSTERING"}'),
    ],
)
def test_the_sdks_embeddings_become_rows_too(model: str, config: str) -> None:
    src = f"""[
        {{"contents": "a", "config": {config}}},
        {{"contents": "b", "config": {config}, "metadata": {{"key": "b"}}}}
    ]"""

    lines = lines_of(src, "embedding")

    assert [json.loads(line)["key"] for line in lines] == ["request-1", "b"]
    assert accepted(lines, model) == 2
    assert lines_of('[{"contents": "a"}]', "embedding") == [b'{"contents": "a"}']


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ('{"contents": []}', ""),
        ('{"contents": 5}', "src[0]: "),
        ('{"contents": "a", "config": 5}', "src[0]: "),
        ('{"contents": "a", "config": {"cachedContent": 5}}', "src[0]: "),
        ('{"contents": "a", "metadata": {"key": 5}}', "src[0].metadata.key: "),
        ('{"contents": "a", "metadata": 5}', "src[0].metadata: "),
        ('{"contents": ["a", NaN]}', ""),
    ],
)
def test_a_request_that_cannot_be_converted_is_refused_by_its_position(
    item: str, expected: str
) -> None:
    if item == '{"contents": []}':
        assert lines_of(f"[{item}]") == [item.encode()]  # the preflight refuses it
        return

    assert error_of(f'{{"src": [{item}]}}').startswith(expected)


NAMES = """contents config metadata key parts role text tools function_declarations
systemInstruction model responseSchema $ref anyOf properties toolConfig type"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON | st.fixed_dictionaries({}, optional={"model": JSON, "src": JSON}))
def test_any_json_is_read_or_raises_a_bad_choice(value: Any) -> None:
    data = json.dumps(value).encode()

    assert code_of(data) in ("", "bad_manifest")
    assert code_of(data, "embedding") in ("", "bad_manifest")


@given(st.lists(JSON, max_size=3), st.dictionaries(st.text(max_size=9), JSON))
def test_any_requests_and_config_are_read_or_raise_a_bad_choice(
    src: Any, config: Any
) -> None:
    items = [{"contents": item, "config": item} for item in src]

    assert code_of(json.dumps({"src": items}).encode()) in ("", "bad_manifest")
    assert code_of(json.dumps({"config": config}).encode()) in ("", "bad_manifest")


ITEMS = st.dictionaries(
    st.sampled_from(["contents", "config", "request", "metadata"]), JSON, max_size=2
)


@given(st.lists(ITEMS, min_size=1, max_size=3))
def test_each_request_is_one_line(items: list[dict[str, Any]]) -> None:
    data = json.dumps({"src": items}, indent=1, allow_nan=True).encode()
    if code_of(data):
        return

    lines = read(data)

    assert len(lines) == len(items)
    assert not any(b"\n" in line for line in lines)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_raise_a_bad_choice(data: bytes) -> None:
    assert code_of(data) in ("", "bad_manifest")


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"src": [{"a": ' * 50_000])
def test_a_manifest_that_nests_too_deeply_is_refused(deep: str) -> None:
    error_of(deep)


def test_a_request_that_nests_too_deeply_is_refused() -> None:
    deep = "[" * 5000 + "]" * 5000
    error_of(f'{{"src": [{{"contents": {deep}, "config": {{}}}}]}}')


@pytest.mark.parametrize("number", ["-0", "1" + "0" * 5000, "1e2", "0.10"])
def test_numbers_stay_as_they_are_written(number: str) -> None:
    [line] = lines_of(f'[{{"contents": "a", "config": {{"seed": {number}}}}}]')

    assert f'"seed":{number}}}'.encode() in line
