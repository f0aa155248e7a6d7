"""Errors as pages: a status and a sentence, never an internal detail."""

from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from batchdrop.errors import BadSetting, Misconfigured, Unavailable
from batchdrop.views.failures import CURES, Trouble, trouble
from batchdrop.views.text import shown

#: What is answered where nothing else is known.
UNKNOWN = "The page could not be made; the log of dashboard says why."
_APPLY = "run `terraform apply` with this release"
#: What an error of Google's means on the pages, which have an account of their own.
#: The error's text is left out: it may name projects, hosts and accounts.
_TROUBLES = CURES | {
    Trouble.NO_LOGIN: "the pages have no login at Google Cloud",
    Trouble.LOGIN_OVER: "Google Cloud does not accept the login of the pages",
    Trouble.LOGIN_SILENT: "Google's login gave no answer",
    Trouble.NO_RIGHT: f"the account of the pages may not do this; {_APPLY}",
    Trouble.NO_LEDGER: f"the deployment's ledger is not there; {_APPLY}",
    Trouble.SILENT: "Google Cloud gave no answer",
}


class Denied(Exception):
    """
    Nobody may look, or this person may not do this; the text says what to do.

    Attributes:
        who: their address, if it is known.
        action: what they wanted to do.
    """

    def __init__(self, text: str, *, who: str = "", action: str = "look") -> None:
        super().__init__(text)
        self.who = who
        self.action = action


def explained(error: Exception) -> tuple[int, str]:
    """The status of an answer to an error, and a sentence about it."""
    code, text = _explained(error)
    text = shown(text)
    return code, text[:1].upper() + text[1:].removesuffix(".") + "."


def _explained(error: Exception) -> tuple[int, str]:
    if isinstance(error, NotFound):
        return 404, "There is no page at this address."
    if isinstance(error, MethodNotAllowed):
        return 405, "This address does not take a request of this kind."
    if isinstance(error, HTTPException):
        return error.code or 500, error.description or UNKNOWN
    if isinstance(error, Denied):
        return 403, str(error)
    if type(error) is LookupError:  # a KeyError is a mistake of ours
        return 404, str(error)
    if found := trouble(error):
        return 503, _TROUBLES[found[0]]
    if isinstance(error, (BadSetting, Misconfigured, Unavailable)):
        return 503, str(error)
    return 500, UNKNOWN
