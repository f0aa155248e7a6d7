"""Routes: which files they match, and the errors of wrong ones."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.errors import BadSetting
from batchdrop.options.globs import Pattern
from batchdrop.options.routes import BadRoutes, Route, Routes
from batchdrop.options.settings import Settings
from tests.rules.test_settings import ENOUGH

SETTINGS = Settings.from_env(ENOUGH)


def route(text: str) -> Route:
    """The route of a file with one route."""
    [only] = Routes.parse(f"[[route]]\n{text}".encode(), "routes.toml").routes
    return only


def errors_of(text: str, settings: Settings = SETTINGS) -> list[str]:
    with pytest.raises(BadRoutes) as caught:
        Routes.parse(text.encode(), "routes.toml").check(settings)
    return list(caught.value.errors)


def error_of(line: str, settings: Settings = SETTINGS) -> str:
    """The error of a route with this line, without the name of its table."""
    [error] = errors_of(f'[[route]]\nmatch = "a/**"\n{line}\n', settings)
    return error.removeprefix('routes.toml: [[route]] 1 ("a/**"): ')


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("translations/**", "translations/a.jsonl"),
        ("translations/**", "translations/de/2026/a.jsonl"),
        ("**/a.jsonl", "a.jsonl"),
        ("**/a.jsonl", "x/y/a.jsonl"),
        ("x/**/a.jsonl", "x/a.jsonl"),
        ("x/**/a.jsonl", "x/y/z/a.jsonl"),
        ("**/de/**", "x/de/y/a.jsonl"),
        ("*.jsonl", "a.jsonl"),
        ("**.jsonl", "x/a.jsonl"),
        ("a?c", "abc"),
        ("[0-9]*", "1abc"),
        ("[!0-9]*", "abc"),
        ("[]]", "]"),
        ("[!]]", "["),
        ("[^a]", "^"),
        ("[--?]", "-"),
        ("[+--]", ","),
        ("[a-]", "-"),
        ("[a||b]", "|"),
        ("[[a]", "["),
        ("[a-c-e]", "-"),
        ("a.c", "a.c"),
        ("*a*b*", "xxaxxbxx"),
        ("ü*", "übung"),
    ],
)
def test_a_pattern_matches_these_names(pattern: str, name: str) -> None:
    assert Pattern.parse(pattern).matches(name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("translations/**", "translations"),
        ("translations/**", "my/translations/a.jsonl"),
        ("translations/*", "translations/de/a.jsonl"),
        ("**/a.jsonl", "ba.jsonl"),
        ("x/**/a.jsonl", "x/ya.jsonl"),
        ("x/**/a.jsonl", "xa.jsonl"),
        ("*.jsonl", "x/a.jsonl"),
        ("a?c", "a/c"),
        ("a[!b]c", "a/c"),
        ("[0-9]*", "abc"),
        ("[!0-9]*", "1abc"),
        ("[a-c-e]", "d"),
        ("a.c", "abc"),
        ("a", "ab"),
        ("a", "A"),
        ("folders", "x"),
    ],
)
def test_a_pattern_does_not_match_these_names(pattern: str, name: str) -> None:
    assert not Pattern.parse(pattern).matches(name)


def test_no_name_takes_long_to_match() -> None:
    patterns = ["**a" * 20 + "*a" * 20 + "b", "**" + "a" * 190, "**" + "[a]" * 60]
    started = time.process_time()

    for pattern in map(Pattern.parse, patterns):
        for _ in range(10):
            assert not pattern.matches("a" * 1023 + "c")

    assert time.process_time() - started < 1


@given(
    st.text(alphabet="ab/*?[]!-.", max_size=12), st.text(alphabet="ab/-.", max_size=9)
)
def test_a_pattern_is_refused_or_matches_each_name_or_not(
    pattern: str, name: str
) -> None:
    try:
        read = Pattern.parse(pattern)
    except ValueError:
        return

    assert read.matches(name) in (True, False)


@given(st.text(alphabet="ab/.-_", min_size=1, max_size=12))
def test_a_pattern_without_wildcards_matches_its_own_name_alone(name: str) -> None:
    if name.startswith("/"):
        return

    assert Pattern.parse(name).matches(name)
    assert not Pattern.parse(name).matches(f"{name}a")


def test_the_first_route_that_matches_counts() -> None:
    routes = Routes.parse(
        b'[[route]]\nmatch = ["a/b/**", "c"]\n[[route]]\nname = "rest"\nmatch = "a/**"',
        "routes.toml",
    )

    assert str(routes.route_of("a/b/c.jsonl")) == "route 1 (a/b/**, c)"
    assert str(routes.route_of("a/x.jsonl")) == "route rest"
    assert routes.route_of("b.jsonl") is None
    assert Routes.none().route_of("a/x.jsonl") is None


def test_each_key_of_a_route_is_read() -> None:
    read = route(
        """
        match = "a/**"
        kind = "generation"
        backend = "vertex"
        location = "global"
        model = "gemini-4-argon"
        destination = "gs://elsewhere/results"
        labels = {team = "search"}
        on_invalid = "skip"
        max_invalid = 10
        fix = true
        unknown = "allow"
        max_active = 3
        max_rows = 1000
        max_bytes = 0
        part_rows = 100
        part_bytes = 1_000_000
        manifest = "required"
        retry = 3
        retry_on = ["truncated"]
        retry_share = 0
        cancel_after = 3600
        delete_after = 0
        [route.generation_config]
        temperature = 0.0
        seed = 123456789012345678901234567890
        [route.stalled_after]
        PENDING = 60
        JOB_STATE_RUNNING = 1.5
        """
    )

    assert read.choices == {
        "kind": "generation",
        "backend": "vertex",
        "location": "global",
        "model": "gemini-4-argon",
        "destination": "gs://elsewhere/results/",
        "labels": {"team": "search"},
        "on_invalid": "skip",
        "max_invalid": 10,
        "fix": True,
        "unknown": "allow",
        "max_active": 3,
        "max_rows": 1000,
        "max_bytes": None,
        "part_rows": 100,
        "part_bytes": 1_000_000,
        "manifest": "required",
        "retry": 3,
        "retry_on": ("truncated",),
        "retry_share": 0.0,
        "cancel_after": 3600.0,
        "delete_after": None,
        "generation_config": (
            '{"temperature": 0.0, "seed": 123456789012345678901234567890}'
        ),
        "stalled_after": {"JOB_STATE_PENDING": 60.0, "JOB_STATE_RUNNING": 1.5},
    }


def test_zero_means_never() -> None:
    read = route('match = "a"\ncancel_after = 0.0\nstalled_after = 0')
    by_state = route('match = "a"\nstalled_after = {PENDING = 0, RUNNING = 60}')

    assert read.choices == {"cancel_after": None, "stalled_after": {}}
    assert by_state.choices == {"stalled_after": {"JOB_STATE_RUNNING": 60}}


def test_a_number_of_seconds_is_for_every_state() -> None:
    assert route('match = "a"\nstalled_after = 60').choices["stalled_after"] == {
        "other": 60
    }


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        ('modl = "x"', "modl", "did you mean model? write one of match, name, loc"),
        ('kind = "chat"', "kind", 'write "generation" or "embedding"'),
        ('backend = "openai"', "backend", 'write "vertex" or "developer"'),
        ('location = "us/central1"', "location", "write a region, us, eu or global"),
        ('model = "gemini-x?key=1"', "model", "write a model's name"),
        ("model = 1", "model", "write a text"),
        ('destination = "s3://b/x"', "destination", "gs://bucket/prefix"),
        ('destination = "bq://p.d.t"', "destination", "gs://bucket/prefix"),
        ('destination = "gs://bucket/a//b"', "destination", "a part that is empty"),
        ('destination = "gs://inbox/x"', "destination", "of BATCHDROP_INBOX"),
        ('destination = "gs://work/x"', "destination", "of BATCHDROP_WORK"),
        ('generation_config = "{}"', "generation_config", "[route.generation_config]"),
        ("generation_config = {a = {b = inf}}", "generation_config", "a.b is inf"),
        ("generation_config = {a = [2026-01-01]}", "generation_config", "a[0] is a"),
        ('labels = "a=b"', "labels", "write labels by their names"),
        ('labels = {Team = "x"}', "labels", "a text of 4 characters: write lowercase"),
        ("labels = {team = 1}", "labels", "its value is a number; write a text"),
        ('labels = {batchdrop_job = "x"}', "labels", "begin with batchdrop_"),
        ('on_invalid = "drop"', "on_invalid", 'write "reject" or "skip"'),
        ('unknown = "skip"', "unknown", 'write "reject" or "allow"'),
        ("max_invalid = -1", "max_invalid", "write a whole number"),
        ("max_invalid = true", "max_invalid", "write a whole number"),
        ('fix = "yes"', "fix", "write true or false"),
        ("max_active = 1.5", "max_active", "write a whole number"),
        ('max_rows = "10"', "max_rows", "write a whole number"),
        ("max_bytes = -5", "max_bytes", "write a whole number"),
        ("part_rows = 200001", "part_rows", "takes at most 200000"),
        ("part_bytes = 1000000001", "part_bytes", "takes at most 1000000000"),
        ('manifest = "always"', "manifest", 'write "optional" or "required"'),
        ('cancel_after = "1h"', "cancel_after", "write a number of seconds"),
        ("delete_after = -1", "delete_after", "write a number of seconds"),
        ("stalled_after = nan", "stalled_after", "write a number of seconds"),
        ("stalled_after = {PENDNG = 1}", "stalled_after", "can stall: UNSPECIFIED,"),
        ('name = ""', "name", "write a text"),
        ('kind = "embedding"', "kind", "but gemini-3.8-flash is for generation"),
        ('backend = "developer"', "backend", "needs GEMINI_API_KEY"),
        ('model = "tunedModels/x"', "model", "(the backend is vertex)"),
    ],
)
def test_a_wrong_value_is_named_with_its_table_and_key_and_what_to_write(
    line: str, key: str, expected: str
) -> None:
    error = error_of(line)

    assert error.startswith(f"{key}: ")
    assert expected in error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = ", "routes.toml: no TOML: "),
        ("[route]\nmatch = 'a'", "routes.toml: [route]: write it with two brackets"),
        ("route = [1]", "routes.toml: route: write each as a table"),
        ("[deploy]\nx = 1", "routes.toml: deploy: unknown"),
        ("[[route]]\nfix = true", "match is missing"),
        ("[[route]]\nmatch = []", "match: got an empty list"),
        ("[[route]]\nmatch = 1", "match: got 1; write a pattern"),
        ("[[route]]\nmatch = ''", "match: '' is no pattern"),
        ("[[route]]\nmatch = '/a'", "match: '/a' begins with /"),
        ("[[route]]\nmatch = 'a['", "match: 'a[' has a [ without its ]"),
        ("[[route]]\nmatch = '[z-a]'", "match: [z-a] is no set of characters"),
        ("[[route]]\nmatch = '[?--]'", "match: [?--] is no set of characters"),
    ],
)
def test_an_unreadable_file_is_refused_by_name(text: str, expected: str) -> None:
    [error] = errors_of(text)

    assert error.startswith("routes.toml: ")
    assert expected in error


def test_all_errors_of_a_file_are_listed_at_once() -> None:
    errors = errors_of(
        """
        [[route]]
        match = "a/**"
        fix = 1
        kind = "x"
        [[route]]
        match = "b/**"
        name = "b"
        max_rows = "x"
        """
    )

    assert [error.split(": ")[1:3] for error in errors] == [
        ['[[route]] 1 ("a/**")', "fix"],
        ['[[route]] 1 ("a/**")', "kind"],
        ['[[route]] 2 ("b/**")', "max_rows"],
    ]


def test_routes_that_share_a_name_or_pattern_are_refused() -> None:
    errors = errors_of(
        '[[route]]\nmatch = "a"\nname = "x"\n[[route]]\nmatch = "a"\nname = "x"'
    )

    assert [error.split(": ")[2] for error in errors] == ["name", "match"]


def test_a_configuration_is_only_for_a_model_that_takes_one() -> None:
    error = error_of(
        'model = "text-embedding-005"\ngeneration_config = {temperature = 0}'
    )

    assert error.startswith("generation_config: text-embedding-005 takes none")


def test_a_configuration_that_no_line_could_be_sent_with_is_refused() -> None:
    error = error_of('generation_config = {topP = 1, "a b" = 1}')

    assert error.startswith("generation_config: a b has a name that the import can't")


def test_a_route_for_the_developer_api_needs_a_key() -> None:
    settings = Settings.from_env(ENOUGH | {"GEMINI_API_KEY": "k"})

    Routes.parse(b'[[route]]\nmatch = "a"\nbackend = "developer"', "f").check(settings)


def test_a_route_whose_backend_lacks_the_deployments_model_is_refused() -> None:
    env = {"GEMINI_API_KEY": "k", "BATCHDROP_MODEL": "anthropic/claude-x"}

    error = error_of('backend = "developer"', Settings.from_env(ENOUGH | env))

    assert "a text of 18 characters is no model of the Developer API" in error


def test_a_route_that_deletes_after_the_ledger_forgets_is_refused() -> None:
    error = error_of("delete_after = 7776000")

    assert error.startswith("delete_after: 7776000 must be below BATCHDROP_LEDGER_TTL")


def test_bad_routes_are_a_bad_setting() -> None:
    with pytest.raises(BadSetting, match=r"routes\.toml"):
        Routes.parse(b"x", "routes.toml")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_text_is_read_or_refused(text: bytes) -> None:
    errors: tuple[str, ...] = ()
    try:
        Routes.parse(text, "routes.toml").check(SETTINGS)
    except BadRoutes as exc:
        errors = exc.errors

    assert all(error.startswith("routes.toml: ") for error in errors)
