"""Which extra a command needs."""

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """
    Imports inside need this extra of batchdrop.

    Raises:
        click.ClickException: an import failed; the text says what to install.
    """
    try:
        yield
    except ImportError as exc:
        raise click.ClickException(
            f"{exc}. This command needs an extra: pip install 'batchdrop[{extra}]'"
        ) from exc
