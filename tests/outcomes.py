"""
The reference page of outcomes, made from `rows.RowOutcome` and the finish reasons in
`batches/answers.py`.

    python -m tests.outcomes            prints it
    python -m tests.outcomes --write    writes docs/reference/outcomes.md
"""

import ast
import sys
from collections.abc import Mapping
from pathlib import Path

from batchdrop import rows
from batchdrop.batches import answers
from batchdrop.rows import RowOutcome
from tests.codes import enum_of, members, sentence

PAGE = Path(__file__).parents[1] / "docs/reference/outcomes.md"

HEAD = """\
# Outcomes

Made from `RowOutcome` in `functions/batchdrop/rows.py` and the finish reasons in
`functions/batchdrop/batches/answers.py` by `make codes`.

Each line of a dropped file that isn't blank is a row, and each row has one outcome. It
is the `outcome` of a [result](result-line.md) and of a row that the [client](client.md)
reads; a job's document counts them. The first that holds, from the top, is the row's:

| outcome | meaning |
|---|---|
"""

TAIL = """\
## What decides

**An error** decides first, even beside an answer. It is a text or an object, and may
hold another error: the inner one has the code. A code below 17 is gRPC's, from 100 on
HTTP's; `status` is its name, or the publisher's word.

**A blocked prompt** (`promptFeedback.blockReason`) has no answer. Every reason is a block
but an unspecified one. OpenAI-style messages with a `refusal` are blocked too. What a
filter has left of a text is not the row's `text`; it stays in `response`.

**Content** is any part of the first candidate that is neither a thought nor a blank text:
text, a call of a function, a picture, sound, code. A signature, a citation or grounding
alone is none.

**JSON**: where the request asked for `application/json`, a text that is not JSON is
`malformed`. A text that was cut off is `truncated`, and is not parsed.

**Embeddings** have no finish reason. They are `ok` with values, `truncated` if the API
embedded only the beginning of the text, and else `empty`.

**Predictions of custom models** are `ok` if there are any, unless they have the shape of
an answer above. Answers of any other shape are `unclear`, and kept.

## Tokens

The usage of a row has the same words for all publishers. `prompt` includes cached tokens
and those of tools' results; `output` doesn't include `thoughts`, which cost as much.

| | Gemini | Claude | OpenAI-style |
|---|---|---|---|
| `prompt` | `promptTokenCount` + `toolUsePromptTokenCount` | `input_tokens` + both kinds of cache tokens | `prompt_tokens` |
| `cached` | `cachedContentTokenCount` | `cache_read_input_tokens` | `cached_tokens` |
| `output` | `candidatesTokenCount` | `output_tokens` - `thinking_tokens` | `completion_tokens` - `reasoning_tokens` |
| `thoughts` | `thoughtsTokenCount` | `thinking_tokens` | `reasoning_tokens` |
| `total` | `totalTokenCount` | the sum | `total_tokens` |

OpenAI's rows on the Developer API leave thoughts out of the completion: there they are
what the total has besides prompt and completion.
"""  # noqa: E501 - a table's line can't be broken

REASONS = {
    "GEMINI": ("Gemini", answers.GEMINI),
    "CLAUDE": ("Claude", answers.CLAUDE),
    "OPENAI": ("OpenAI-style models", answers.OPENAI),
}
#: What a reason that is no reason gives.
UNNAMED = {
    "GEMINI": (
        "| none, or `FINISH_REASON_UNSPECIFIED` | `truncated`, or `empty` without "
        "content | The model has not stopped. |\n"
    ),
    "CLAUDE": "",
    "OPENAI": "",
}
ANY_OTHER = "| any other | `unclear`, or `empty` without content | |\n"

#: Outcomes that depend on whether there is content.
WORDS = {
    RowOutcome.OK: "`ok`, or `empty` without content",
    RowOutcome.EMPTY: "`empty`, or `unclear` with content",
}


def page() -> str:
    """The page, in Markdown."""
    source = Path(rows.__file__).read_text()
    outcomes = "\n".join(members(source, enum_of(source, "RowOutcome")))
    return "\n".join([f"{HEAD}{outcomes}\n", *map(_section, REASONS), TAIL])


def _section(name: str) -> str:
    publisher, reasons = REASONS[name]
    source = Path(answers.__file__).read_text()
    text = _sentences(source, name)
    lines = [
        f"| `{reason}` | {WORDS.get(outcome, f'`{outcome}`')} | {text[reason]} |\n"
        for reason, outcome in reasons.items()
    ]
    head = f"## Finish reasons of {publisher}\n\n"
    table = "| reason | outcome | why |\n|---|---|---|\n"
    return "".join([head, table, *lines, UNNAMED[name], ANY_OTHER])


def _sentences(source: str, name: str) -> Mapping[str, str]:
    """What is said behind each finish reason."""
    table = next(
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == name
    )
    assert isinstance(table, ast.Dict)
    return {
        str(key.value): sentence(source, key)
        for key in table.keys
        if isinstance(key, ast.Constant)
    }


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page())
    else:
        print(page(), end="")
