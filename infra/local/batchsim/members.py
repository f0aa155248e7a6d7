"""
What requests may hold, by API: the public discovery documents, dated.

The lists are those that batchdrop checks files against, made by `make members`: two
lists of the same facts would drift apart. The code that reads them is batchsim's own.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import msgspec

from batchsim.jobs import Api, Kind
from batchsim.messages import Fields, Reader

#: What a row's request is, by what its job does.
REQUESTS = {Kind.GENERATE: "GenerateContentRequest", Kind.EMBED: "EmbedContentRequest"}

#: The protobuf packages that errors name, without the version.
PACKAGES = {
    Api.VERTEX: "google.cloud.aiplatform",
    Api.DEVELOPER: "google.ai.generativelanguage",
}


def reader(
    api: Api, version: str, others: Mapping[str, Fields] | None = None
) -> Reader:
    """A reader of an API's requests, and of `others`, the messages around them."""
    messages = {**_lists(api), **others} if others else _lists(api)
    return Reader(messages, f"{PACKAGES[api]}.{version}")


@cache
def _lists(api: Api) -> Mapping[str, Fields]:
    text = files("batchdrop").joinpath("preflight/members.json").read_bytes()
    objects = msgspec.json.decode(text)["objects"]
    prefix = f"{api}."
    return {
        name.removeprefix(prefix): members
        for name, members in objects.items()
        if name.startswith(prefix)
    }
