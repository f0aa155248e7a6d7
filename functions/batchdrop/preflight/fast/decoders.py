"""What the decoders of the fast paths have in common."""

import re
from collections.abc import Callable
from typing import Annotated, Any

import msgspec

#: What a decoder raises for a line that it doesn't take.
MISFIT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
#: A decoder can't be made for a name with one of these.
UNFIT = re.compile(r'[\\"\x00-\x1f]')

EMPTY_ARRAY = Annotated[list[Any], msgspec.Meta(max_length=0)]
#: No value is of this type.
NEVER = Annotated[str, msgspec.Meta(max_length=0, min_length=1)]

#: A decoder that raises one of MISFIT for what it doesn't take.
Decode = Callable[[bytes], Any]


def object_type(fields: list[Any], names: dict[str, str], strict: bool = True) -> Any:
    """
    The type of objects that have these members.

    Args:
        fields: as `msgspec.defstruct` takes them.
        names: a member's name by its field's.
        strict: whether they have no others.
    """
    return msgspec.defstruct(
        "Object",
        fields,
        rename=names,
        forbid_unknown_fields=strict,
        kw_only=True,
        gc=False,
    )
