"""The official SDK and this client, set up alike, to compare what they send."""

import asyncio
import re
import warnings
from collections.abc import Callable
from typing import Any

from google import genai
from google.genai import types

from batchdrop import Client
from tests.client.credential import Token
from tests.client.recorder import Recorder, Request

#: Keyword arguments of both clients, without http_options.
VERTEX: dict[str, Any] = {
    "vertexai": True,
    "project": "p",
    "location": "us-central1",
    "credentials": Token(),
}
DEVELOPER: dict[str, Any] = {"vertexai": False, "api_key": "k3y"}


#: The headers that an API reads.
HEADERS = (
    "authorization",
    "content-type",
    "x-goog-api-key",
    "x-goog-user-project",
    "x-server-timeout",
    "x-mine",
)

# A generated name ends with the time and five random digits.
_MADE_UP = re.compile(r"_\d{14}_[0-9a-f]{5}$")


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _settled(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_settled(item) for item in value]
    return _MADE_UP.sub("_STAMP", value) if isinstance(value, str) else value


def content_of(request: Request) -> dict[str, Any]:
    """The parts of a request that an API reads, for comparison."""
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": {h: request.headers.get(h) for h in HEADERS},
        "body": _settled(request.json),
    }


def ours(url: str, arguments: dict[str, Any], **options: Any) -> Client:
    return Client(**arguments, http_options={"base_url": url, **options})


def theirs(url: str, arguments: dict[str, Any], **options: Any) -> genai.Client:
    http_options = types.HttpOptions(base_url=url, **options)
    return genai.Client(**arguments, http_options=http_options)


class Speakers:
    """
    One client of each make for each set of arguments, kept for a whole module: to make
    one takes far longer than a call.
    """

    def __init__(self, server: Recorder) -> None:
        self._server = server
        self._made: dict[Any, Any] = {}
        self._runner = asyncio.Runner()

    def wire(
        self,
        make: Callable[..., Any],
        use: Callable[[Any], Any],
        arguments: dict[str, Any],
        **options: Any,
    ) -> list[Request]:
        """The requests of `use` with a client; with its aio if `use` is a coroutine."""
        key = (make, id(arguments), *options.items())
        if key not in self._made:
            self._made[key] = make(self._server.url, arguments, **options)
        client = self._made[key]
        self._server.requests.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs calls embeddings experimental
            if asyncio.iscoroutinefunction(use):
                self._runner.run(use(client.aio))
            else:
                use(client)
        return list(self._server.requests)

    def close(self) -> None:
        for client in self._made.values():
            self._runner.run(client.aio.aclose())
            client.close()
        self._runner.close()
