"""Who is asking: the headers that say so, from google-auth, imported when needed."""

import threading
from collections.abc import Mapping
from typing import Any, Protocol

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


class Signer(Protocol):
    """What the transport needs to know of who is asking."""

    def headers(self) -> Mapping[str, str]:
        """The headers to add to a request; may block to get a fresh token."""

    def ready(self) -> bool:
        """True if `headers` won't block."""


class ApiKey:
    """An API key. Its repr doesn't show it."""

    def __init__(self, key: str) -> None:
        self._headers = {"x-goog-api-key": key}

    def headers(self) -> Mapping[str, str]:
        return self._headers

    def ready(self) -> bool:
        return True


class GoogleCredentials:
    """
    google-auth credentials, or the application default ones, found at first use.

    Safe to share between threads: one of them refreshes, the others wait.
    """

    def __init__(self, credentials: Any = None) -> None:
        self._credentials = credentials
        self._lock = threading.Lock()

    def headers(self) -> Mapping[str, str]:
        if not self.ready():
            with self._lock:
                if not self.ready():
                    self._renew()
        credentials = self._credentials
        headers = {}
        if credentials.token:  # AnonymousCredentials have none, and need none
            headers["authorization"] = f"Bearer {credentials.token}"
        if quota_project := getattr(credentials, "quota_project_id", None):
            headers["x-goog-user-project"] = quota_project
        return headers

    def ready(self) -> bool:
        credentials = self._credentials
        if credentials is None:
            return False
        if credentials.token:
            return not credentials.expired
        return _anonymous(credentials)

    def _renew(self) -> None:
        if self._credentials is None:
            import google.auth

            self._credentials, _ = google.auth.default(scopes=SCOPES)
        if not self.ready():
            from google.auth.transport.requests import Request

            self._credentials.refresh(Request())


def _anonymous(credentials: Any) -> bool:
    from google.auth.credentials import AnonymousCredentials

    return isinstance(credentials, AnonymousCredentials)


def default_project() -> tuple[Any, str | None]:
    """The application default credentials and the project they belong to."""
    import google.auth

    credentials, project = google.auth.default(scopes=SCOPES)
    return credentials, project
