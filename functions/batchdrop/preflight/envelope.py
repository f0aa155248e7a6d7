"""Inspects what surrounds a line's request: shape, key, other members."""

import re
from typing import Any

from batchdrop.preflight.inspection import KINDS, Inspection, Members
from batchdrop.preflight.keys import Keys
from batchdrop.preflight.members import CONFIG, of_request, strays
from batchdrop.preflight.rules import Rules
from batchdrop.preflight.shapes import (
    IDS,
    KeyInside,
    Shape,
    WrongShape,
    answered,
    other_request,
    shape_of,
    unread,
)

#: The code of a row that already has an answer.
ANSWERED = "answered"


class EnvelopeCheck:
    """Inspects the envelopes of one file's lines."""

    def __init__(self, rules: Rules, keys: Keys) -> None:
        self._rules = rules
        self._family = rules.family
        self._keys = keys
        self._inside = of_request(self._family.members)
        #: Members that belong into a request, and are looked for beside it.
        self._strays = strays(self._inside) if rules.strict else {}
        #: That of all good lines so far, and the first line that had it.
        self.shape: Shape | None = None
        self._shape_line = 0

    def learn(self, shape: Shape, line: int) -> None:
        """Takes note of the shape of a good line."""
        if self.shape is None:
            self.shape, self._shape_line = shape, line

    def is_answer(self, inspection: Inspection, line: Members) -> bool:
        """Whether a batch has answered this line already; if so, adds a row error."""
        answer = answered(dict(line))
        if answer is None:
            return False
        inspection.unsure = answer != "response"
        inspection.add_error(
            answer,
            ANSWERED,
            "is a batch's answer to this row, which would be paid again",
            "make a file of the rows without an answer: `batchdrop check --fix "
            "--only-unanswered -o OUT FILE`",
        )
        return True

    def shape_of(self, inspection: Inspection, line: Members) -> Shape | None:
        """The shape of a line; None, and a row error, if it may not have that."""
        names = {name for name, _ in line}
        example = self._example
        try:
            shape = self._known_shape(line, names)
        except WrongShape as exc:
            if (other := self._other_shape(names)) is not None:
                self._add_mixed(inspection, other)
            elif self._takes_no_config(names):
                inspection.add_error(
                    "",
                    "wrong_shape",
                    "is an OpenAI-style line, into which no generation configuration "
                    "can be merged",
                    "leave out the job's generation configuration, and write the "
                    'parameters into each "body"',
                )
            elif str(exc):
                inspection.add_error(
                    exc.path,
                    "wrong_shape",
                    f"is {exc}, which {self._rules.model} doesn't take",
                    example,
                )
            elif names & {"response", "error", "status", "predictions"}:
                inspection.add_error(
                    "",
                    "no_contents",
                    "is what a batch wrote, without the request that it answers",
                    "drop the rows that were asked, without those that have an answer",
                )
            else:
                missing = f"has no {self._family.plain[0]}"
                inspection.add_error("", "no_contents", missing, example)
            return None
        except KeyInside as exc:
            inspection.add_error(exc.path, "wrong_shape", str(exc), exc.fix)
            return None
        except StopIteration:
            inspection.add_error("", "no_contents", "has no body", example)
            return None
        if self.shape is not None and shape != self.shape:
            self._add_mixed(inspection, shape)
            return None
        return shape

    def _other_shape(self, names: set[str]) -> Shape | None:
        """
        The shape of a line in the model's other format; None if it has none, or if a
        line may still have it.
        """
        family = self._rules.other_family
        if family is None or (self.shape is None and not self._rules.openai):
            return None
        try:
            return shape_of(names, family)
        except (WrongShape, KeyInside):
            return None

    def _takes_no_config(self, names: set[str]) -> bool:
        """Whether a line could be sent, but for the job's configuration."""
        family = self._rules.openai_family
        if family is None or self._rules.generation_config is None:
            return False
        return family.wrapper in names

    def _add_mixed(self, inspection: Inspection, shape: Shape) -> None:
        others = "earlier lines are OpenAI-style"
        if self.shape is not None:
            line = inspection.called(self._shape_line)
            others = f"{line} has the shape {self.shape}"
        inspection.add_error(
            "",
            "mixed_shapes",
            f"has the shape {shape}, but {others}",
            "write all lines of a file in one shape",
        )

    def _known_shape(self, line: Members, names: set[str]) -> Shape:
        """
        Raises:
            WrongShape: the line, or what its wrapper holds, is for another model.
            KeyInside: see `shape_of`.
            StopIteration: it has no wrapper.
        """
        shape = shape_of(names, self._family)
        if shape.wrapper:
            inner = next(v for n, v in reversed(line) if n == shape.wrapper)
            if isinstance(inner, Members):
                found = {name for name, _ in inner}
                if what := other_request(found, self._family):
                    raise WrongShape(what, shape.wrapper)
        return shape

    def check(self, inspection: Inspection, line: Members, shape: Shape) -> None:
        """Finds what is wrong in the members around the request."""
        members = dict(line)
        if shape.id is not None:
            id = members[shape.id]
            number = self._rules.key_numbers and type(id) in (int, float)
            if not number and (not isinstance(id, str) or not id):
                or_number = " or a number" if self._rules.key_numbers else ""
                inspection.unsure = True
                inspection.add_error(
                    shape.id,
                    "bad_key",
                    f"must be a string that isn't empty{or_number}",
                    f'write "{shape.id}": "..." or leave it out of all lines',
                )
        if shape.wrapper and not isinstance(members[shape.wrapper], Members):
            inspection.add_error(
                shape.wrapper, "not_an_object", "must be a JSON object", self._example
            )
        allowed = {"method": ("POST",), "url": self._family.urls}
        for name in self._family.beside:
            if members.get(name) not in allowed[name]:
                inspection.unsure = True
                inspection.add_error(
                    name,
                    "bad_value",
                    f"must be {' or '.join(allowed[name])}",
                    self._example,
                )

        if self._rules.strict:
            self._check_strays(inspection, members, shape)
        model = members.get("model")
        named = isinstance(model, str) and shape.wrapper is not None
        if named and not re.search(self._rules.model_pattern, str(model)):
            inspection.by_value["model"] = f"^(?!{self._rules.model_pattern})"
            inspection.other_model("model")

    def _check_strays(
        self, inspection: Inspection, members: dict[str, Any], shape: Shape
    ) -> None:
        """Finds members that belong into the request, and would not be sent."""
        for name, value in members.items() if shape.wrapper else ():
            known = self._strays.get(name)
            if known is None or value is None or not known.fits(KINDS[type(value)]):
                continue
            if isinstance(value, str) and not known.takes(value):
                continue
            if name == CONFIG and not any(known.has(inner) for inner, _ in value):
                continue
            inspection.unsure |= isinstance(value, str)
            place = f'"{shape.wrapper}"'
            if self._inside.member(name) is None:
                place = f'"generationConfig" in {place}'
            inspection.add_error(
                name,
                "beside_request",
                f'stands beside "{shape.wrapper}", where it isn\'t read',
                f"put it into {place}; a column of your own needs another name",
            )
        if not self._family.embeds or inspection.row_errors:
            return
        for path in unread(members, shape, self._family):
            fix = 'write what it says beside "content"'
            if self._family.wrapper is None:
                fix = (
                    "leave it out; lines for a Gemini embedding model may have "
                    '"outputDimensionality" beside "content"'
                )
            inspection.add_error(
                path, "unread", "is read by no batch of this model", fix
            )

    def check_key(self, inspection: Inspection, shape: Shape, key: bytes) -> None:
        """Finds a key that an earlier line has. That of a good line is kept."""
        if inspection.row_errors:
            return
        first = self._keys.first(key, inspection.line)
        if first != inspection.line:
            inspection.unsure = True
            inspection.add_error(
                shape.id or IDS[0],
                "duplicate_key",
                f"is the same as in {inspection.called(first)}",
                "give each line a key of its own",
            )

    @property
    def _example(self) -> str:
        return f"write one JSON object a line: {self._family.example}"
