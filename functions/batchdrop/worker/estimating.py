"""What a file is expected to use and cost, from the rows that are staged of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from batchdrop.jobs.values import Estimate, Spec
from batchdrop.preflight import Rules
from batchdrop.preflight.estimate import Estimator
from batchdrop.pricing import Prices, estimated
from batchdrop.rows import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """Says what tokens cost today."""

    prices: Callable[[], Prices]
    now: Callable[[], datetime]

    def of(self, spec: Spec, tokens: Tokens, rows: int) -> Estimate:
        """The estimate of a job whose rows have these tokens."""
        return estimated(
            tokens,
            rows,
            self.prices(),
            model=spec.model,
            backend=spec.backend,
            location=spec.location,
            day=self.now().date(),
        )

    def estimating(self, spec: Spec, rules: Rules) -> "Estimating":
        """For one reading of a file."""
        return Estimating(self, spec, rules)


@dataclass(slots=True)
class Estimating:
    """One file's sample, which all of its parts have in common."""

    pricing: Pricing
    spec: Spec
    rules: Rules
    _estimator: Estimator = field(init=False)

    def __post_init__(self) -> None:
        self._estimator = Estimator(
            self.rules.family,
            answer_tokens=self.spec.answer_tokens,
            thinking_tokens=self.spec.thinking_tokens,
        )

    def add(self, staged: bytes) -> None:
        """Takes the next lines, as they are staged."""
        self._estimator.add(staged)

    def of(self, rows: int, size: int) -> Estimate:
        """The estimate of some rows of the file, by the lines that were taken."""
        return self.pricing.of(self.spec, self._estimator.tokens(rows, size), rows)
