"""
The options: one row for each thing that a deployment, a route, a manifest or the
metadata of an object can choose.

Settings, routes, manifests, metadata, `batchdrop routes explain`, the reference page
docs/reference/settings.md and the test that holds Terraform to the code are made from
these rows. A new option is a row here, a field of `Settings` if it has a variable, and
a field of `Spec` if it is a job's.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any

from batchdrop.jobs.codes import Backend
from batchdrop.options import readers
from batchdrop.preflight.names import nearest

PREFIX = "BATCHDROP_"
#: How the keys of an object's metadata begin that are options.
METADATA = "batchdrop-"


class By(Flag):
    """Who may set an option. The stronger ones come later."""

    ENVIRONMENT = auto()
    ROUTE = auto()
    MANIFEST = auto()
    METADATA = auto()


ENVIRONMENT = By.ENVIRONMENT
DEPLOYER = By.ENVIRONMENT | By.ROUTE
FILE = By.MANIFEST | By.METADATA
ANYONE = DEPLOYER | FILE

#: The default of an option that has to be set.
REQUIRED: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One thing that can be chosen."""

    name: str  #: as routes and manifests have it, and `Spec` if it is a job's
    type: readers.Type
    by: By
    help: str  #: one line, without a capital or a full stop
    default: Any = None
    variable: str = ""  #: with its prefix; made from the name where it isn't given
    in_environment: readers.Type | None = None  #: where that differs from `type`
    longest: int | None = None  #: characters of the variable
    unset: str = ""  #: for the reference page: what holds where nobody sets it

    def __post_init__(self) -> None:
        if By.ENVIRONMENT in self.by and not self.variable:
            object.__setattr__(self, "variable", PREFIX + self.name.upper())

    @property
    def setting(self) -> str:
        """The field of `Settings`."""
        own = self.variable.startswith(PREFIX)
        return self.variable.removeprefix(PREFIX).lower() if own else self.name

    @property
    def key(self) -> str:
        """The key in an object's metadata, without its prefix."""
        return self.name.replace("_", "-")

    @property
    def environment(self) -> readers.Type:
        """What its variable is read as."""
        return self.in_environment or self.type


# -- the rows ----------------------------------------------------------------------

OPTIONS = (
    Option(
        name="project",
        type=readers.TEXT,
        by=ENVIRONMENT,
        default=REQUIRED,
        longest=100,
        help="the Google Cloud project's id",
    ),
    Option(
        name="location",
        type=readers.REGION,
        by=DEPLOYER,
        default=REQUIRED,
        longest=63,
        help="where the batches run; the Developer API has no locations",
    ),
    Option(
        name="backend",
        type=readers.BACKEND,
        by=DEPLOYER,
        default=Backend.VERTEX.value,
        help="`vertex`, or `developer` for the Gemini Developer API",
    ),
    Option(
        name="api_key",
        type=readers.SECRET,
        by=ENVIRONMENT,
        variable="GEMINI_API_KEY",
        unset="required with `developer`",
        help="the Developer API's key, from a secret",
    ),
    Option(
        name="api_url",
        type=readers.TEXT,
        by=ENVIRONMENT,
        unset="the API's own",
        help="another base address of the batch API, such as batchsim's",
    ),
    Option(
        name="model",
        type=readers.MODEL,
        by=ANYONE,
        default=REQUIRED,
        longest=512,
        help="the model of the jobs, such as `gemini-3.8-flash`",
    ),
    Option(
        name="inbox",
        type=readers.TEXT,
        by=ENVIRONMENT,
        default=REQUIRED,
        longest=222,
        help="the bucket that files are dropped into",
    ),
    Option(
        name="work",
        type=readers.PREFIX,
        by=ENVIRONMENT,
        default=REQUIRED,
        help="a `gs://` prefix for staged files, in another bucket; each deployment "
        "has its own",
    ),
    Option(
        name="destination",
        type=readers.DESTINATION,
        by=ANYONE,
        default=REQUIRED,
        variable=f"{PREFIX}OUTPUT",
        in_environment=readers.PREFIX,
        help="a `gs://` prefix for results, in another bucket than the inbox",
    ),
    Option(
        name="topic",
        type=readers.TEXT,
        by=ENVIRONMENT,
        default=REQUIRED,
        longest=400,
        help="the Pub/Sub topic of the announcements: its id, or its full name",
    ),
    Option(
        name="work_topic",
        type=readers.TEXT,
        by=ENVIRONMENT,
        default=REQUIRED,
        longest=400,
        help="the Pub/Sub topic that wakes collectors: its id, or its full name",
    ),
    Option(
        name="database",
        type=readers.TEXT,
        by=ENVIRONMENT,
        default="(default)",
        longest=63,
        help="the Firestore database; each deployment has its own, and a second one is "
        "refused at its first call",
    ),
    Option(
        name="deployment",
        type=readers.DEPLOYMENT,
        by=ENVIRONMENT,
        default="default",
        help="the deployment that a batch belongs to; becomes a label",
    ),
    # What becomes of a file.
    Option(
        name="display_name",
        type=readers.DISPLAY_NAME,
        by=FILE,
        unset="the object's name",
        help="the batch's name, for people",
    ),
    Option(
        name="generation_config",
        type=readers.CONFIG,
        by=ANYONE,
        help="merged into each request that doesn't set the member itself",
    ),
    Option(
        name="labels",
        type=readers.LABELS,
        by=ANYONE,
        default={},
        help="labels of each job; those of all who set some are merged",
    ),
    Option(
        name="on_invalid",
        type=readers.ON_INVALID,
        by=ANYONE,
        default="reject",
        help="`reject` a file with bad lines, or `skip` those lines",
    ),
    Option(
        name="max_invalid",
        type=readers.LIMIT,
        by=ANYONE,
        help="lines that `skip` may leave out of a file; one with more is rejected",
    ),
    Option(
        name="fix",
        type=readers.SWITCH,
        by=ANYONE,
        default=False,
        help="`true`: repair and count what needs no guess, such as empty objects, in "
        "place of refusing the row",
    ),
    Option(
        name="unknown",
        type=readers.UNKNOWN,
        by=ANYONE,
        default="reject",
        help="`reject` rows with members that the API isn't known to have, or `allow` "
        "them",
    ),
    Option(
        name="kind",
        type=readers.KIND,
        by=By.ROUTE | FILE,
        unset="the model's",
        help="an assertion: the job is rejected if its model is of the other kind",
    ),
    Option(
        name="manifest",
        type=readers.MANIFEST,
        by=By.ROUTE,
        default="optional",
        help="`required`: a file waits in `arrived` until its manifest comes",
    ),
    # What becomes of its answers.
    Option(
        name="results",
        type=readers.RESULTS,
        by=ANYONE,
        default="on",
        help="`on`: one result for each line of the file; `full`: with the API's whole "
        "answer in each; `off`: only the API's answers",
    ),
    Option(
        name="failed_share",
        type=readers.SHARE,
        by=DEPLOYER,
        default=0.05,
        help="the share of a job's rows that may be `failed` or `missing` before its "
        "health is `rows_failed`; blocked, truncated, malformed and empty rows do not "
        "count",
    ),
    Option(
        name="retry",
        type=readers.ROUNDS,
        by=ANYONE,
        default=1,
        help="most rounds in which rows that failed for a passing reason go again; `0` "
        "for none",
    ),
    Option(
        name="retry_on",
        type=readers.RETRIED,
        by=ANYONE,
        default=(),
        unset="rows that failed for a passing reason alone",
        help="outcomes of rows that go again besides",
    ),
    Option(
        name="retry_share",
        type=readers.SHARE,
        by=ANYONE,
        default=0.2,
        help="the share of a job's rows that may go again; of more, none does",
    ),
    # Estimates.
    Option(
        name="answer_tokens",
        type=readers.COUNT,
        by=DEPLOYER,
        default=250,
        help="tokens that an answer is estimated to have; of a row with a lower "
        "`maxOutputTokens`, that many",
    ),
    Option(
        name="thinking_tokens",
        type=readers.COUNT,
        by=DEPLOYER,
        default=0,
        help="tokens that the thoughts before an answer are estimated to have; of a "
        "row with a thinking budget, that many",
    ),
    # Limits.
    Option(
        name="paused",
        type=readers.SWITCH,
        by=ENVIRONMENT,
        default=False,
        help="`true`: nothing is submitted, and every job waits",
    ),
    Option(
        name="max_active",
        type=readers.LIMIT,
        by=DEPLOYER,
        variable=f"{PREFIX}MAX_ACTIVE_JOBS",
        help="the queue's cap: unfinished batches at the API at once, those "
        "of other programs too",
    ),
    Option(
        name="max_rows",
        type=readers.LIMIT,
        by=DEPLOYER,
        help="rows of one file, as it is sent; one with more is rejected",
    ),
    Option(
        name="max_bytes",
        type=readers.LIMIT,
        by=DEPLOYER,
        help="bytes of one file, as it is sent; one with more is rejected",
    ),
    Option(
        name="part_rows",
        type=readers.LIMIT,
        by=DEPLOYER,
        unset="what the API takes",
        help="rows of one part, as it is sent; a file with more is split",
    ),
    Option(
        name="part_bytes",
        type=readers.LIMIT,
        by=DEPLOYER,
        unset="what the API takes",
        help="bytes of one part, as it is sent; a file with more is split",
    ),
    Option(
        name="max_rows_per_day",
        type=readers.LIMIT,
        by=ENVIRONMENT,
        help="rows of all jobs submitted on a day (UTC), as they are sent",
    ),
    Option(
        name="max_bytes_per_day",
        type=readers.LIMIT,
        by=ENVIRONMENT,
        help="bytes of all jobs submitted on a day (UTC), as they are sent",
    ),
    Option(
        name="max_cost",
        type=readers.AMOUNT,
        by=ANYONE,
        help="estimated cost of one file; one with more is rejected. A file may lower "
        "what the deployment or its route sets",
    ),
    Option(
        name="max_cost_per_day",
        type=readers.AMOUNT,
        by=DEPLOYER,
        help="estimated cost of all jobs submitted on a day (UTC), corrected when they "
        "are done; in a route, of its own jobs besides",
    ),
    # Policies.
    Option(
        name="cancel_after",
        type=readers.SECONDS_OR_NEVER,
        by=DEPLOYER,
        help="how long a batch may run before it is cancelled",
    ),
    Option(
        name="delete_after",
        type=readers.SECONDS_OR_NEVER,
        by=DEPLOYER,
        help="how long after its end a batch is deleted at the API; answers and "
        "document stay; below `BATCHDROP_LEDGER_TTL`",
    ),
    Option(
        name="stalled_after",
        type=readers.STALLED_AFTER,
        by=DEPLOYER,
        default={},
        help="how long a batch may be in one state before `stalled` is announced, once",
    ),
    # What a file may choose.
    Option(
        name="routes",
        type=readers.TEXT,
        by=ENVIRONMENT,
        help="path or `gs://` address of a TOML file of "
        "[routes](../how-to/choose-per-file.md#routes)",
    ),
    Option(
        name="prices",
        type=readers.TEXT,
        by=ENVIRONMENT,
        unset="the built-in list",
        help="path or `gs://` address of a [price list](prices.md)",
    ),
    Option(
        name="models",
        type=readers.MODELS,
        by=ENVIRONMENT,
        default=(),
        unset="only `BATCHDROP_MODEL`",
        help="more models that a file may choose",
    ),
    Option(
        name="sources",
        type=readers.PREFIXES,
        by=ENVIRONMENT,
        default=(),
        unset="only the inbox",
        help="more prefixes that rows and media may come from",
    ),
    Option(
        name="destinations",
        type=readers.PREFIXES,
        by=ENVIRONMENT,
        default=(),
        unset="only `BATCHDROP_OUTPUT`",
        help="more prefixes that results may go to",
    ),
    Option(
        name="datasets",
        type=readers.DATASETS,
        by=ENVIRONMENT,
        default=(),
        help="datasets that jobs may read or write",
    ),
    # The pages.
    Option(
        name="dashboard_access",
        type=readers.ACCESS,
        by=ENVIRONMENT,
        default="iam",
        help="who identifies the people who open the dashboard. `iam`: Cloud Run; "
        "`iap`: the Identity-Aware Proxy; `local`: nobody, for use on one machine only",
    ),
    Option(
        name="dashboard_audience",
        type=readers.TEXT,
        by=ENVIRONMENT,
        longest=300,
        unset="required with `iap`",
        help="the audience that the Identity-Aware Proxy's assertions are for, such as "
        "`/projects/123/locations/us-central1/services/batchdrop-dashboard`",
    ),
    Option(
        name="dashboard_keys",
        type=readers.TEXT,
        by=ENVIRONMENT,
        default="https://www.gstatic.com/iap/verify/public_key",
        longest=300,
        help="where the public keys of the Identity-Aware Proxy are",
    ),
    Option(
        name="dashboard_readers",
        type=readers.PEOPLE,
        by=ENVIRONMENT,
        default=(),
        unset="all whom Cloud Run or the Identity-Aware Proxy lets in",
        help="the people who may look at the pages, besides the operators: addresses, "
        "or `domain:example.com`",
    ),
    Option(
        name="dashboard_operators",
        type=readers.PEOPLE,
        by=ENVIRONMENT,
        default=(),
        unset="nobody",
        help="the people who may cancel, resume, rerun, retry and replay on the pages",
    ),
    Option(
        name="dashboard_rows",
        type=readers.SWITCH,
        by=ENVIRONMENT,
        default=False,
        help="`true`: the pages show what rows ask and answer",
    ),
    # Durations of the worker.
    Option(
        name="lease",
        type=readers.SECONDS,
        by=ENVIRONMENT,
        default=600.0,
        help="how long a worker has a job to itself after each write; at least a "
        "function's time-out",
    ),
    Option(
        name="create_timeout",
        type=readers.SECONDS,
        by=ENVIRONMENT,
        default=60.0,
        help="how long one create request may take; below `BATCHDROP_LEASE`",
    ),
    Option(
        name="list_lag",
        type=readers.SECONDS,
        by=ENVIRONMENT,
        default=120.0,
        help="how long a list may lag behind a create",
    ),
    Option(
        name="tick",
        type=readers.SECONDS,
        by=ENVIRONMENT,
        default=240.0,
        help="how long `poll` takes up new work; below its time-out",
    ),
    Option(
        name="reconcile_every",
        type=readers.SECONDS,
        by=ENVIRONMENT,
        default=3600.0,
        help="how often inbox and API are compared with the ledger",
    ),
    Option(
        name="missed_window",
        type=readers.SECONDS,
        by=ENVIRONMENT,
        default=3 * 86400.0,
        help="how old an object without a job may be to count as missed",
    ),
    Option(
        name="ledger_ttl",
        type=readers.SECONDS,
        by=ENVIRONMENT,
        default=90 * 86400.0,
        help="how long a job's document is kept after its end; above "
        "`BATCHDROP_MISSED_WINDOW`",
    ),
    Option(
        name="costs_ttl",
        type=readers.SECONDS,
        by=ENVIRONMENT,
        default=400 * 86400.0,
        help="how long what a job has cost is kept for `batchdrop costs`",
    ),
    Option(
        name="work_ttl",
        type=readers.SECONDS,
        by=ENVIRONMENT,
        default=30 * 86400.0,
        help="how long the work bucket keeps an object; at least 30 days. What an open "
        "job needs is copied onto itself once it is half as old",
    ),
)


def options(by: By) -> tuple[Option, ...]:
    """The options that one of these may set, in the order of the table."""
    return tuple(option for option in OPTIONS if option.by & by)


def unknown(name: str, known: Collection[str]) -> str:
    """The error of an unknown key: it has the nearest known one, never the key."""
    likely = nearest(name, known)
    question = f"did you mean {likely}? " if likely else ""
    return f"unknown; {question}write one of {', '.join(known)}, or leave it out"
