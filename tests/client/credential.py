"""Credentials that are always fresh."""

from typing import Any

from google.auth.credentials import Credentials


class Token(Credentials):
    """Signs with "t0k3n"; a quota project may be billed."""

    def __init__(self, quota_project: str | None = None) -> None:
        super().__init__()
        self.token = "t0k3n"
        self._quota_project_id = quota_project

    def refresh(self, request: Any) -> None:
        raise AssertionError("a fresh token needs no refresh")
