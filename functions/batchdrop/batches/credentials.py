"""Headers that sign a request. google-auth is imported at first use."""

import threading
from collections.abc import Mapping
from typing import Any, Protocol

from batchdrop.batches.errors import NotSignedIn, TransportError
from batchdrop.stored import is_unanswered

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


class Signer(Protocol):
    """Signs requests for a transport."""

    def headers(self) -> Mapping[str, str]:
        """The headers to add to a request; may block to get a fresh token."""

    def ready(self) -> bool:
        """True if `headers` won't block."""


class ApiKey:
    """An API key, sent in a header. The repr doesn't show it."""

    def __init__(self, key: str) -> None:
        self._headers = {"x-goog-api-key": key}

    def headers(self) -> Mapping[str, str]:
        return self._headers

    def ready(self) -> bool:
        return True


class GoogleCredentials:
    """
    google-auth credentials; None: the application default ones, found at first use.

    Threads may share one: the first of them refreshes the token, the others wait.
    """

    def __init__(self, credentials: Any = None) -> None:
        self._credentials = credentials
        self._lock = threading.Lock()

    def headers(self) -> Mapping[str, str]:
        if not self.ready():
            with self._lock:
                if not self.ready():
                    self._credentials = _renewed(self._credentials)
        credentials = self._credentials
        headers = {}
        if credentials.token:  # AnonymousCredentials have none
            headers["authorization"] = f"Bearer {credentials.token}"
        if quota_project := getattr(credentials, "quota_project_id", None):
            headers["x-goog-user-project"] = quota_project
        return headers

    def ready(self) -> bool:
        return _ready(self._credentials)


def _ready(credentials: Any) -> bool:
    if credentials is None:
        return False
    if credentials.token:
        return not credentials.expired
    return _anonymous(credentials)


def _renewed(credentials: Any) -> Any:
    """These credentials, or the default ones, with a fresh token; blocks."""
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request

    if credentials is None:
        credentials, _ = default_project()
    if not _ready(credentials):
        try:
            credentials.refresh(Request())
        except GoogleAuthError as exc:
            if is_unanswered(exc):
                raise TransportError(
                    f"no token for Google Cloud, nothing was sent: {exc}", sent=False
                ) from exc
            raise NotSignedIn(
                f"the credentials can't be renewed: {exc}", sent=False
            ) from exc
    return credentials


def _anonymous(credentials: Any) -> bool:
    from google.auth.credentials import AnonymousCredentials

    return isinstance(credentials, AnonymousCredentials)


def default_project() -> tuple[Any, str | None]:
    """The application default credentials and the project they belong to."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        credentials, project = google.auth.default(scopes=SCOPES)
    except DefaultCredentialsError as exc:
        raise NotSignedIn(
            "no credentials for Google Cloud: run `gcloud auth application-default "
            "login`, set GOOGLE_APPLICATION_CREDENTIALS, or pass credentials",
            sent=False,
        ) from exc
    return credentials, project
