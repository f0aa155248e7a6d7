"""Documents whose every text tries to leave its place on a page."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

from google.cloud import firestore

#: Ends an attribute of either quote, a title, a script and a comment; runs when it is
#: markup; is computed when it is a template; and turns the text around it.
PAYLOAD = (
    "'\"></title></textarea></script><!-- --><script>zqrun()</script>"
    "<img src=x onerror=zqrun()><svg/onload=zqrun()> {{7*7}}{% raw %}\u202e\x07\n"
    "javascript:zqrun()"
)
#: Members of documents that code reads, and nobody names.
KEPT = re.compile(
    r"v|id|phase|state|code|type|event|step|currency|outcome|only|day|backend|kind|job"
    r"|job_id|part_of|retry_of|parent|prices_as_of|listed_as|results|on_invalid|unknown"
)
#: Those whose own names are somebody's.
NAMED = ("labels", "spec_from", "routes")


def rewritten(value: Any, name: str = "") -> Any:
    """A value of a document, with the payload at the end of each text in it."""
    if isinstance(value, dict):
        end = PAYLOAD if name in NAMED else ""
        return {key + end: rewritten(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [rewritten(each, name) for each in value]
    if isinstance(value, str) and not KEPT.fullmatch(name):
        return value + PAYLOAD
    return value


def spoil(database: firestore.Client) -> None:
    """Puts the payload into all documents but the worker's own."""
    for collection in database.collections():
        if collection.id != "locks":
            for document in collection.stream():
                document.reference.set(rewritten(document.to_dict()))


class Markup(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.wrong += _wrong(tag, dict(attrs))
        self.texts += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"a comment: {data}")


def _wrong(tag: str, attributes: dict[str, str | None]) -> Iterator[str]:
    if tag in ("iframe", "object", "embed", "base", "style", "foreignobject"):
        yield f"<{tag}>"
    source = attributes.get("src") or ""
    if tag in ("script", "img") and not source.startswith("/assets/"):
        yield f"<{tag}> of somebody's"
    for name, value in attributes.items():
        if name.startswith("on") or name in ("style", "srcdoc"):
            yield f"{name} of <{tag}>"
        if not re.fullmatch(r"[a-z][a-z0-9:-]*", name, re.IGNORECASE):
            yield f"{name} of <{tag}>"
        if name in ("href", "src", "action", "formaction", "xlink:href") and (
            not re.match(r"(/(?![/\\])|#|\?)", value or "")
        ):
            yield f"{name}={value} of <{tag}>"
