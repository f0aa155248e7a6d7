"""
What requests may hold, by API: the public discovery documents, dated.

The lists are the data that batchdrop checks files against, made by `make members`; how
they are read here is batchsim's own. Lists of the same facts twice would drift apart.
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
    """Reads requests of an API, and `others`, its messages around them."""
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
