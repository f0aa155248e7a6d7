"""Types made ready for values, before there are threads."""

import msgspec


def ready(*types: type) -> None:
    """
    Has msgspec find out now what it has to know of the classes of these types.

    It (0.22) hands that out before it is complete: a second thread that has its first
    value read into a class at the same moment reads a null pointer, and the process is
    gone. So this is called where a module is imported, which one thread does. A decoder
    that a module makes for itself has the same effect.
    """
    for each in types:
        msgspec.json.Decoder(each)
