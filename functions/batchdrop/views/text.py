"""Makes texts that users wrote, such as names of objects, safe to show."""

import re
import shlex

#: Letters and marks that nobody sees, though Python counts them as printable: those of
#: Unicode's property Default_Ignorable_Code_Point, and the empty pattern of Braille.
#: https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0e\uffa0"
    "\U000e0100-\U000e01ef]"
)
#: Most characters that a list shows of a folder, and of a file's name.
FOLDER, FILE = 48, 64


def shown(text: str) -> str:
    """
    Makes a user's text safe to show: control characters, line feeds, invisible
    characters, and those that change the direction of others are written as escapes.
    Markup, of Rich or HTML, is left as it is.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        each.encode("unicode_escape").decode()
        if not each.isprintable() or _UNSEEN.match(each)
        else each
        for each in text
    )


def parts_of_name(name: str) -> tuple[str, str]:
    """
    The folder of an object and its name in it, for a list. Names differ at their ends:
    a long folder loses its beginning, and a long name its middle.
    """
    folder, slash, file = shown(name).rpartition("/")
    folder += slash
    if len(folder) > FOLDER:
        folder = f"…{folder[1 - FOLDER :]}"
    if len(file) > FILE:
        file = f"{file[: FILE // 2 - 1]}…{file[-FILE // 2 :]}"
    return folder, file


def in_shell(text: str) -> str:
    """
    Quotes a user's text as one word of a command, for bash, zsh and ksh. What `shown`
    writes as an escape is one here too, in $'...', so that the command can be read and
    copied.
    """
    if shown(text) == text:
        return shlex.quote(text)
    return f"$'{''.join(map(_escaped, text))}'"


def _escaped(each: str) -> str:
    if each in "\\'":
        return f"\\{each}"
    if shown(each) == each:
        return each
    return f"\\u{ord(each):04x}" if ord(each) < 0x10000 else f"\\U{ord(each):08x}"
