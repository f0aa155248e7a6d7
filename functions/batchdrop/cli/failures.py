"""Turns an error into one line for the user of a command, with what to do."""

from batchdrop.views.failures import CURES, Trouble, trouble
from batchdrop.views.text import shown

LOG_IN = "run `gcloud auth application-default login`"
#: Which right a request to Cloud Storage lacked: Terraform's list of those who have it.
_RIGHTS = {
    "storage.objects.create": ("roles/storage.objectCreator", "uploaders"),
    "storage.objects.get": ("roles/storage.objectViewer", "readers"),
    "storage.objects.list": ("roles/storage.objectViewer", "readers"),
}


def in_one_line(error: BaseException, *, writes: bool = False) -> str:
    """
    What went wrong, and what to do.

    Args:
        writes: the command writes the ledger, which takes another right than reading.
    """
    if found := trouble(error):
        return shown(_explained(*found, writes))
    return shown(str(error) or repr(error))


def _explained(what: Trouble, error: BaseException, writes: bool) -> str:
    match what:
        case Trouble.NO_LOGIN:
            return f"you are not logged in to Google Cloud; {LOG_IN}"
        case Trouble.LOGIN_OVER:
            return f"your login at Google Cloud is over; {LOG_IN} ({_brief(error)})"
        case Trouble.LOGIN_SILENT:
            return f"Google's login gave no answer; try again ({_brief(error)})"
        case Trouble.NO_RIGHT:
            return _no_right(str(error), writes)
        case Trouble.NO_LEDGER:
            return f"the deployment's ledger is not there ({_brief(error)})"
        case Trouble.SILENT:
            return f"Google Cloud gave no answer; try again ({_brief(error)})"
        case Trouble.INDEX_BUILDING | Trouble.NO_INDEX:
            return CURES[what]


def _no_right(text: str, writes: bool) -> str:
    for permission, (role, who) in _RIGHTS.items():
        if permission in text:
            return (
                f"you may not do this: it takes {role} on the bucket, which `{who}` in "
                f"Terraform have ({_brief(text)})"
            )
    if "storage." in text:
        return f"Cloud Storage refuses this to you ({_brief(text)})"
    if writes:
        return (
            "you may not write the ledger: it takes roles/datastore.user, which "
            "`operators` in Terraform have"
        )
    return (
        "you may not read the ledger: it takes roles/datastore.viewer, which `readers` "
        "in Terraform have"
    )


def _brief(error: object) -> str:
    """The beginning of an error's text."""
    text = str(error)
    return text if len(text) <= 200 else f"{text[:200]}..."
