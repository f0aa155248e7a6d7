"""What an error of Google Cloud means to people."""

from collections.abc import Iterator
from enum import StrEnum


class Trouble(StrEnum):
    """What is wrong, whoever asked."""

    NO_LOGIN = "no_login"  #: there are no credentials
    LOGIN_OVER = "login_over"  #: Google does not accept them any more
    LOGIN_SILENT = "login_silent"  #: no answer about them
    NO_RIGHT = "no_right"  #: they are those of somebody who may not do this
    INDEX_BUILDING = "index_building"  #: Firestore is still building an index
    NO_INDEX = "no_index"  #: an index of the ledger was never made
    NO_LEDGER = "no_ledger"  #: there is no such database
    SILENT = "silent"  #: no answer, or one that says to come back later


#: What to do, where that is the same for whoever asked.
CURES = {
    Trouble.INDEX_BUILDING: "an index of the ledger is still being built; try again in "
    "a few minutes",
    Trouble.NO_INDEX: "the ledger lacks an index; run `terraform apply` with this "
    "release, and try again some minutes later",
}


def trouble(error: BaseException) -> tuple[Trouble, BaseException] | None:
    """
    Finds Google's error behind one of ours, and what it means.

    Returns:
        The meaning and the error; None if no error in the chain of causes is known.
    """
    for cause in _causes(error):
        if found := _trouble(cause):
            return found, cause
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _trouble(error: BaseException) -> Trouble | None:
    from google.api_core import exceptions
    from google.auth import exceptions as auth

    match error:
        case auth.DefaultCredentialsError():
            return Trouble.NO_LOGIN
        case auth.RefreshError() | exceptions.Unauthorized():
            return Trouble.LOGIN_OVER
        case auth.GoogleAuthError():
            return Trouble.LOGIN_SILENT
        case exceptions.Forbidden():
            return Trouble.NO_RIGHT
        case exceptions.FailedPrecondition() if "requires an index" in str(error):
            building = "building" in str(error)
            return Trouble.INDEX_BUILDING if building else Trouble.NO_INDEX
        case exceptions.NotFound() if "database" in str(error):
            return Trouble.NO_LEDGER
        case (
            exceptions.ServerError()
            | exceptions.TooManyRequests()
            | exceptions.RetryError()
        ):
            return Trouble.SILENT
    return None
