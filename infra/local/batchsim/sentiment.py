"""A model that tells praise from complaints, so that a demo has answers to look at."""

import re

from batchsim.models import Prompt, echo

#: Such as "positive, negative or mixed".
_CHOICES = re.compile(r"\b((?:\w+, )*\w+),? or (\w+)")
_PRAISE = re.compile(
    r"\b(?:amazing|every day|exactly|excellent|good|great|happy|love|loved|lovely|"
    r"perfect|solid|twice as much|well|without the manual)\b"
)
_COMPLAINTS = re.compile(
    r"\b(?:awful|bad|broke|broken|disappointed|late|louder|nobody|scratch|sent it back|"
    r"smells|stopped|terrible|worse|wrong)\b"
)


def classify(prompt: Prompt) -> str:
    """
    Answers a prompt that offers "positive" and "negative" with one of them, by the
    words in it; with "mixed" or "neutral", if it offers that, where both kinds of words
    are in it, or neither is. Answers any other prompt as `echo` does.
    """
    found = None if prompt.schema else _CHOICES.search(prompt.text.lower())
    choices: list[str] = [*found[1].split(", "), found[2]] if found else []
    if not {"positive", "negative"} <= set(choices):
        return echo(prompt)
    praise = len(_PRAISE.findall(prompt.text.lower()))
    complaints = len(_COMPLAINTS.findall(prompt.text.lower()))
    if bool(praise) == bool(complaints):
        for choice in choices:
            if choice in ("mixed", "neutral"):
                return choice
    return "positive" if praise > complaints else "negative"
