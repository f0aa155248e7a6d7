"""Mends what needs no guess: nulls, empty objects, two spellings, a missing role."""

import msgspec

from batchdrop.preflight.columns import Column
from batchdrop.preflight.names import NULL_RUNS, OWN_NAMES, TWO_SPELLINGS, camel

#: The codes of what `fixed` and `with_role` mend.
FIXABLE = frozenset({"null", "empty_object", "mixed_case", "no_role"})

#: These hold the caller's own data, in which nulls and empty objects mean something.
#: Pairs of the member that one stands in, or "" for any, and its name.
_DATA = frozenset(
    {
        ("functionCall", "args"),
        ("functionResponse", "response"),
        *(("", name) for name in ("partMetadata", "enum", "default", "example")),
    }
)

#: In these an empty object means something: `{"googleSearch": {}}` asks for the tool.
#: Leaving it out would change the request, so it stays, and is a row error.
_SPEAKING = frozenset({"tools"})

#: How deep protobuf's JSON may nest. Each level is decoded once more.
_DEEPEST = 100

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])


def fixed(
    value: bytes | memoryview, column: Column | None, name: str = "", depth: int = 0
) -> bytes:
    """
    A request without nulls and empty objects, and with its members spelled as earlier
    ones in the file. All other values, and the caller's own data, keep their bytes.

    Args:
        value: JSON.
        column: the column of its place, if there is one.
        name: the member that holds it.
        depth: how many arrays and objects are around it.

    Raises:
        RecursionError: it nests deeper than any API reads.
    """
    if depth > _DEEPEST:
        raise RecursionError
    # A view, not bytes: else each object around a long text would make a copy of it.
    value = memoryview(value)
    start = bytes(value[:1])
    if start == b"{":
        kept = []
        members = _members.decode(value)
        for member, raw in members.items():
            spelled = _spelled(member, column, name)
            if spelled in members:
                spelled = member  # both spellings in one object: either may be meant
            below = column.members.get(spelled) if column else None
            if _is_data(name, member):
                inner = _bytes(raw)
                if inner[:1] == b"{" and not inner[1:-1].strip():
                    inner = b"{}"
            else:
                inner = fixed(memoryview(raw), below, spelled, depth + 1)
            if inner == b"null" and camel(member) not in NULL_RUNS:
                continue
            if inner == b"{}" and name not in _SPEAKING:
                continue
            kept.append(msgspec.json.encode(spelled) + b":" + inner)
        return b"{" + b",".join(kept) + b"}"
    if start == b"[":
        items = [
            fixed(memoryview(raw), column, name, depth + 1)
            for raw in _items.decode(value)
        ]
        return b"[" + b",".join(i for i in items if i not in (b"null", b"{}")) + b"]"
    return bytes(value).rstrip()


def _is_data(holder: str, member: str) -> bool:
    # In OWN_NAMES, a member's name is the caller's own and has no meaning here.
    member = camel(member)
    return (camel(holder), member) in _DATA or (
        holder not in OWN_NAMES and ("", member) in _DATA
    )


def _spelled(member: str, column: Column | None, name: str) -> str:
    common = camel(member)
    if column is None or common not in TWO_SPELLINGS or name in OWN_NAMES:
        return member
    return column.spelled.get(common, (member, 0))[0]


def _bytes(raw: msgspec.Raw) -> bytes:
    return bytes(raw).strip()


def with_role(request: bytes) -> bytes:
    """
    A Gemini request with the role "user" for its only content, if that has no role; the
    Developer API reads it so. With several contents, any may be the model's.
    """
    members = _members.decode(request)
    contents = _bytes(members.get("contents", msgspec.Raw(b"")))
    if not contents.startswith(b"["):
        return request
    items = list(map(_bytes, _items.decode(contents)))
    if len(items) != 1 or not items[0].startswith(b"{"):
        return request
    content = _members.decode(items[0])
    if "role" in content:
        return request
    one = msgspec.json.encode({"role": "user"} | content)
    members["contents"] = msgspec.Raw(b"[" + one + b"]")
    return msgspec.json.encode(members)
