"""The reference page of codes says what the enums say."""

from enum import StrEnum

import pytest

from batchdrop.jobs.codes import Backend, ErrorCode, HealthCode, Outcome, Phase
from tests.codes import PAGE, page


def test_the_page_of_codes_is_that_of_the_code() -> None:
    assert PAGE.read_text() == page(), "run `make codes` and commit what it writes"


@pytest.mark.parametrize("enum", [Backend, ErrorCode, HealthCode, Outcome, Phase])
def test_the_page_explains_each_code(enum: type[StrEnum]) -> None:
    text = PAGE.read_text()

    for code in enum:
        assert f"\n| `{code}` | " in text
