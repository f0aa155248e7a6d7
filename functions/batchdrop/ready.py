"""Prepares types for msgspec before there are threads."""

import msgspec


def ready(*types: type) -> None:
    """
    Lets msgspec analyse the classes of these types now.

    msgspec 0.22 publishes its analysis before it is complete: a second thread that
    decodes its first value of a class at the same moment reads a null pointer, and the
    process dies. So call this at import, which one thread does. A decoder that a module
    makes at import has the same effect.
    """
    for each in types:
        msgspec.json.Decoder(each)
