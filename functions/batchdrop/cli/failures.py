"""What an error means to whoever runs a command: one line, and what to do."""

from collections.abc import Iterator

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
    for cause in _causes(error):
        if text := _explained(cause, writes):
            return shown(text)
    return shown(str(error) or repr(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it: ours hide Google's."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _explained(error: BaseException, writes: bool) -> str | None:
    """The text for an error of Google's; None for any other."""
    from google.api_core import exceptions
    from google.auth import exceptions as auth

    match error:
        case auth.DefaultCredentialsError():
            return f"you are not logged in to Google Cloud; {LOG_IN}"
        case auth.RefreshError() | exceptions.Unauthorized():
            return f"your login at Google Cloud is over; {LOG_IN} ({_brief(error)})"
        case auth.GoogleAuthError():
            return f"Google's login gave no answer; try again ({_brief(error)})"
        case exceptions.Forbidden():
            return _no_right(str(error), writes)
        case exceptions.FailedPrecondition() if "requires an index" in str(error):
            if "building" in str(error):
                return (
                    "an index of the ledger is still being built; try again in a few "
                    "minutes"
                )
            return (
                "the ledger lacks an index; run `terraform apply` with this release, "
                "and try again some minutes later"
            )
        case exceptions.NotFound() if "database" in str(error):
            return f"the deployment's ledger is not there ({_brief(error)})"
        case (
            exceptions.ServerError()
            | exceptions.TooManyRequests()
            | exceptions.RetryError()
        ):
            return f"Google Cloud gave no answer; try again ({_brief(error)})"
    return None


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
