"""Which cases of a test run each time, and which with `make proofs` or `make crash`."""

from collections.abc import Iterable
from typing import Any

import pytest


def mostly(
    *often: Any, also: Iterable[Any], mark: pytest.MarkDecorator = pytest.mark.proof
) -> list[Any]:
    """
    The cases of a parameter, those of `often` in each run; a tuple is a case of several
    parameters.

    Args:
        also: the others; one that is in `often` too counts once.
        mark: what is put on the others.
    """
    return [
        *often,
        *(
            pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=mark)
            for one in also
            if one not in often
        ),
    ]
