"""The table of options, and everything that is made from it."""

from dataclasses import MISSING, fields

import pytest

from batchdrop.cli.routes import _PLACEHOLDERS
from batchdrop.jobs.values import Spec
from batchdrop.options.manifests import CONFIG
from batchdrop.options.resolve import KEYS
from batchdrop.options.settings import Settings
from batchdrop.options.table import ENVIRONMENT, OPTIONS, REQUIRED, By, Option, options
from tests.rules.test_settings import ENOUGH
from tests.settings_page import PAGE, page


def test_the_reference_page_is_made_from_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make settings`"


def test_each_variable_has_a_field_of_the_settings_with_its_default() -> None:
    table = {option.setting: option.default for option in options(ENVIRONMENT)}
    defaults = {
        each.name: each.default_factory()
        if each.default_factory is not MISSING
        else REQUIRED
        if each.default is MISSING
        else each.default
        for each in fields(Settings)
    }

    assert table == defaults


def test_each_field_of_a_job_is_an_option_but_for_its_source_and_route() -> None:
    """And what only the environment may set is the deployment's."""
    jobs = {option.name for option in OPTIONS if option.by & ~ENVIRONMENT}

    assert {each.name for each in fields(Spec)} == jobs | {
        *("source", "ceiling", "route")
    }


def test_a_name_and_a_variable_are_of_one_option() -> None:
    names = [option.name for option in OPTIONS]
    variables = [option.variable for option in options(ENVIRONMENT)]

    assert len(set(names)) == len(names)
    assert len(set(variables)) == len(variables)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: str(option.name))
def test_an_option_is_explained_in_one_line(option: Option) -> None:
    assert option.help.isprintable()
    assert "|" not in option.help
    assert not option.help.endswith(".")
    assert option.by


def test_a_file_may_set_these_and_no_more() -> None:
    """A new option that a file may set is a decision, not an accident."""
    assert set(KEYS) == {
        *("model", "destination", "display-name", "generation-config", "labels"),
        *("on-invalid", "max-invalid", "fix", "unknown", "kind", "results"),
        *("max-cost", "retry", "retry-on", "retry-share"),
    }
    assert set(CONFIG) == {key.replace("-", "_") for key in KEYS} - {"model"} | {"dest"}


def test_the_environment_and_routes_may_set_these_and_no_more() -> None:
    assert {option.name for option in options(By.ROUTE)} == {
        *("kind", "backend", "location", "model", "destination", "generation_config"),
        *("labels", "on_invalid", "max_invalid", "fix", "unknown", "max_active"),
        *("max_rows", "max_bytes", "part_rows", "part_bytes", "manifest"),
        *("cancel_after", "delete_after", "stalled_after"),
        *("results", "failed_share", "answer_tokens", "thinking_tokens"),
        *("retry", "retry_on", "retry_share"),
        *("max_cost", "max_cost_per_day"),
    }


def test_the_key_is_never_quoted() -> None:
    settings = Settings.from_env(ENOUGH | {"GEMINI_API_KEY": "a\x00b"})

    assert settings.api_key == "a\x00b"
    assert "a\x00b" not in repr(settings)


def test_routes_are_checked_with_a_placeholder_for_each_required_setting() -> None:
    required = {option.variable for option in OPTIONS if option.default is REQUIRED}

    assert set(_PLACEHOLDERS) == required
