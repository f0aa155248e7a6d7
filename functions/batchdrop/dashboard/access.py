"""Who asks for a page, and what they may do."""

import getpass
from dataclasses import dataclass

from werkzeug.datastructures import Headers

from batchdrop.options.settings import Settings


class Denied(Exception):
    """Nobody may look, or this person may not do this; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who may look at the pages."""

    name: str  #: an address of email; on one machine, the user's name
    operates: bool  #: whether they may cancel, resume, rerun, retry and replay


def person(headers: Headers, settings: Settings) -> Person:
    """
    Who sent a request.

    Raises:
        Denied: nobody has checked who that is, or they may not look.
    """
    if settings.dashboard_access == "local":
        return Person(name=getpass.getuser(), operates=True)
    raise Denied("nobody has checked who you are")
