"""What the reports on cost add up: one value for each round of a job."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from batchdrop.jobs.job import Job
from batchdrop.jobs.values import OWN_LABELS, Usage

#: Of these documents.
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundCost:
    """
    The tokens and the cost of one round of a job. A split job has none: its parts have
    their own, so that no token is counted twice.
    """

    v: int
    job: str  #: the id
    round: int
    part_of: str | None
    source: str  #: the object that was dropped
    #: In UTC, such as 2026-03-01: when the batch ended, or else when the results were
    #: made. The prices are those of this day, unless an answer has a day of its own.
    day: str
    collected_at: datetime
    backend: str
    location: str
    model: str  #: the job's, in the words of the price list and of `Spec`
    route: str  #: that matched the object; empty if none did
    labels: dict[str, str]  #: without batchdrop's own
    #: The same labels as `key=value`, by which reports select.
    label_pairs: tuple[str, ...]
    rows: int  #: that were sent
    usage: Usage
    #: Those that reports add up: of the prompts, and of answers with their thoughts.
    prompt_tokens: int
    answer_tokens: int
    micros: int | None  #: the cost in millionths of the currency; None if not known
    currency: str  #: empty if the cost isn't known
    prices_as_of: str | None
    no_cost: str | None  #: why the cost isn't known
    #: The estimate of the cost in the same millionths; 0 if it is not `compared`.
    estimated: int = 0
    #: Whether cost and estimate are both known.
    compared: bool = False

    @classmethod
    def between(cls, before: Job, after: Job) -> Self | None:
        """
        The round whose answers a move has counted, which happens once; None if it
        counted none.
        """
        spec = after.spec
        made, had = (job.results or job.gathered for job in (after, before))
        if made is None or had is not None or after.parts:
            return None
        assert spec is not None
        cost, estimate = after.cost, after.estimate and after.estimate.cost
        usage = after.usage or Usage()
        labels = {
            key: text
            for key, text in sorted(spec.labels.items())
            if not key.startswith(OWN_LABELS)
        }
        compared = bool(cost and estimate and cost.currency == estimate.currency)
        return cls(
            v=VERSION,
            job=after.retry_of or after.id,
            round=after.round,
            part_of=after.part_of,
            source=str(after.source),
            day=f"{after.ended_on:%Y-%m-%d}",
            collected_at=after.updated_at,
            backend=spec.backend,
            location=spec.location,
            model=spec.model,
            route=spec.route,
            labels=labels,
            label_pairs=tuple(f"{key}={text}" for key, text in labels.items()),
            rows=after.staging.rows if after.staging else 0,
            usage=usage,
            prompt_tokens=usage.prompt,
            answer_tokens=usage.output + usage.thoughts,
            micros=cost.micros if cost else None,
            currency=cost.currency if cost else "",
            prices_as_of=cost.prices_as_of if cost else None,
            no_cost=None if cost else after.no_cost,
            estimated=estimate.micros if estimate and compared else 0,
            compared=compared,
        )
