"""The rules for the rows of a file: line formats, and the choices that select them."""

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Protocol

import msgspec

from batchdrop.preflight.names import placed

GB = 1000**3
#: The default model of `batchdrop check` and of the local stack.
MODEL = "gemini-3.8-flash"

#: Members whose value is the address of a medium, and others that may be one.
MEDIA = frozenset({"fileUri", "file_uri"})
MAYBE_MEDIA = frozenset(
    {
        *("gcsUri", "gcs_uri", "uri", "url", "uris"),
        *("image_url", "video_url", "audio_url", "file_url"),
    }
)

#: One line, and no part made of dots, which could lead out of a folder.
_STRAIGHT = r"(?![\s\S]*(?:/\.\.?(?:/|\Z)|[\r\n]))"

REJECT, SKIP, ALLOW = "reject", "skip", "allow"


class Place(Protocol):
    """`gs://bucket/prefix/`, which is its text too. A prefix is empty or ends in /."""

    @property
    def bucket(self) -> str: ...

    @property
    def prefix(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Must:
    """What a value must be, beside the rules for every value."""

    kind: str = ""  #: "an object", "an array", "a string"; empty: anything
    required: bool = False
    filled: bool = False  #: at least one item
    choices: tuple[str, ...] = ()  #: a string that is one of these
    same_model: bool = False  #: names the job's model
    refused: str = ""  #: why it may not be given at all: "code: message; fix"
    members: dict[str, "Must"] = field(default_factory=dict)
    items: "Must | None" = None
    any_of: tuple[str, ...] = ()  #: one of these members is required
    missing: str = ""  #: what to write if it is missing or of another kind
    codes: tuple[str, str] = ("missing", "bad_value")  #: when missing, when wrong


ANYTHING = Must()


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """
    A line format: what a backend takes for a kind of model.

    A staged line is `{ID: row id, ..., WRAPPER: the request}`; without a wrapper the
    members stand beside the id.
    """

    name: str
    id: str
    wrapper: str | None
    plain: tuple[str, ...]  #: a line without wrapper has one of these members
    example: str  #: the line to write
    must: Must  #: what the request must be
    members: str  #: the name of the list of its members; empty: no list
    rows: int | None  #: most rows of a job
    bytes: int  #: most bytes of a staged file
    beside: tuple[str, ...] = ()  #: members that are sent beside the wrapper
    urls: tuple[str, ...] = ()  #: what `url` may be, where that is one of these
    google: bool = True  #: Gemini's own names, which have two spellings
    embeds: bool = False
    config: bool = False  #: takes a generation configuration


def _gemini(vertex: bool) -> Must:
    # "Please use a valid role: user, model." (seen live on Vertex; the Developer API
    # needs no role). `function` is the older role for answers of tools.
    role = Must(
        kind="a string",
        required=vertex,
        choices=("user", "model", "function"),
        missing='"role": "user", or "model" for what the model said before; a '
        'system instruction goes into "systemInstruction"',
        codes=("no_role", "bad_role"),
    )
    parts = Must(
        kind="an array",
        required=True,
        filled=True,
        items=Must(
            kind="an object", missing='{"text": "..."}', codes=("missing", "bad_parts")
        ),
        missing='"parts": [{"text": "..."}]',
        codes=("no_parts", "bad_parts"),
    )
    content = Must(
        kind="an object",
        members={"role": role, "parts": parts},
        missing='{"role": "user", "parts": [{"text": "..."}]}',
        codes=("missing", "bad_contents"),
    )
    cached = Must()
    if vertex:
        # Batches on Vertex have no explicit context caching (Vertex AI docs).
        cached = Must(
            refused="cached_content: batch jobs on Vertex can't use a context cache; "
            "write the content into the line, or use the Developer API"
        )
    return Must(
        kind="an object",
        members={
            "contents": Must(
                kind="an array",
                required=True,
                filled=True,
                items=content,
                missing='"contents": [{"role": "user", "parts": [{"text": "..."}]}]',
                codes=("no_contents", "bad_contents"),
            ),
            "systemInstruction": Must(
                kind="an object",
                missing='"systemInstruction": {"parts": [{"text": "..."}]}',
                codes=("missing", "bad_contents"),
            ),
            "cachedContent": cached,
            "model": Must(same_model=True),
        },
    )


_MESSAGES = Must(
    kind="an array",
    required=True,
    filled=True,
    items=Must(kind="an object", codes=("missing", "bad_contents")),
    missing='"messages": [{"role": "user", "content": "..."}]',
    codes=("no_contents", "bad_contents"),
)

_CLAUDE_ROLE = Must(
    kind="a string",
    required=True,
    choices=("user", "assistant"),
    missing='"role": "user", or "assistant" for what the model said before; a '
    'system prompt goes into "system", beside "messages"',
    codes=("no_role", "bad_role"),
)

_CLAUDE = Must(
    kind="an object",
    members={
        "anthropic_version": Must(
            kind="a string",
            required=True,
            filled=True,
            missing='"anthropic_version": "vertex-2023-10-16"',
            codes=("no_anthropic_version", "bad_value"),
        ),
        "messages": replace(
            _MESSAGES,
            items=Must(
                kind="an object",
                members={
                    "role": _CLAUDE_ROLE,
                    "content": Must(
                        required=True,
                        filled=True,
                        missing='"content": "..."',
                        codes=("no_contents", "bad_contents"),
                    ),
                },
                missing='{"role": "user", "content": "..."}',
                codes=("missing", "bad_contents"),
            ),
        ),
        "max_tokens": Must(
            kind="a number",
            required=True,
            missing='"max_tokens": 1024, the most tokens of an answer',
            codes=("no_max_tokens", "bad_max_tokens"),
        ),
        "model": Must(same_model=True),
    },
)

_OPEN = Must(
    kind="an object",
    any_of=("messages", "input"),
    members={
        "messages": Must(
            kind="an array",
            filled=True,
            items=Must(kind="an object", codes=("missing", "bad_contents")),
            missing='"messages": [{"role": "user", "content": "..."}]',
            codes=("no_contents", "bad_contents"),
        ),
        "model": Must(same_model=True),
    },
    missing='"messages": [{"role": "user", "content": "..."}]',
    codes=("no_contents", "bad_contents"),
)

_CHAT = Must(
    kind="an object",
    members={"messages": _MESSAGES, "model": Must(same_model=True)},
)

_EMBEDDING = Must(
    kind="an object",
    members={
        "content": Must(
            kind="an object",
            required=True,
            members={
                "parts": Must(
                    kind="an array",
                    required=True,
                    filled=True,
                    items=Must(
                        kind="an object",
                        members={
                            "text": Must(
                                filled=True,
                                missing='"text": "..."',
                                codes=("no_contents", "bad_contents"),
                            )
                        },
                        codes=("missing", "bad_parts"),
                    ),
                    missing='"parts": [{"text": "..."}]',
                    codes=("no_parts", "bad_parts"),
                )
            },
            missing='"content": {"parts": [{"text": "..."}]}',
            codes=("no_contents", "bad_contents"),
        ),
        "model": Must(same_model=True),
    },
)

_TEXT_EMBEDDING = Must(
    kind="an object",
    members={
        "content": Must(
            kind="a string",
            required=True,
            filled=True,
            missing='"content": "..."',
            codes=("no_contents", "bad_contents"),
        ),
    },
)

_OPENAI_LINE = (
    '{"custom_id": "...", "method": "POST", "url": "/v1/chat/completions", "body": '
    '{"messages": [{"role": "user", "content": "..."}]}}'
)
_GEMINI_LINE = '{"contents": [{"role": "user", "parts": [{"text": "..."}]}]}'
_EMBEDDING_LINE = '{"key": "...", "request": {"content": {"parts": [{"text": "..."}]}}}'

# Limits: Vertex AI and Gemini API docs. "1 GB" is read in the strict way.
_FAMILIES = {
    "gemini": Family(
        name="Gemini on Vertex",
        id="key",
        wrapper="request",
        plain=("contents",),
        example=_GEMINI_LINE,
        must=_gemini(vertex=True),
        members="vertex.GenerateContentRequest",
        rows=200_000,
        bytes=GB,
        config=True,
    ),
    "gemini-embedding": Family(
        name="Gemini embeddings on Vertex",
        id="key",
        wrapper="request",
        plain=("content", "text", "contents"),
        example=_EMBEDDING_LINE,
        must=_EMBEDDING,
        members="vertex.EmbedContentRequest",
        rows=1_000_000,
        bytes=GB,
        embeds=True,
    ),
    "text-embedding": Family(
        name="text embeddings on Vertex",
        id="key",
        wrapper=None,
        plain=("content", "text", "contents"),
        example='{"content": "..."}',
        must=_TEXT_EMBEDDING,
        members="",
        rows=30_000,
        bytes=GB,
        embeds=True,
    ),
    "claude": Family(
        name="Claude on Vertex",
        id="custom_id",
        wrapper="request",
        plain=("messages",),
        example='{"custom_id": "...", "request": {"messages": [{"role": "user", '
        '"content": "..."}], "anthropic_version": "vertex-2023-10-16", '
        '"max_tokens": 1024}}',
        must=_CLAUDE,
        members="claude.Request",
        rows=200_000,
        bytes=GB,
        google=False,
    ),
    "open": Family(
        name="open models on Vertex",
        id="custom_id",
        wrapper="body",
        plain=(),
        example=_OPENAI_LINE,
        must=_OPEN,
        members="open.Request",
        rows=200_000,
        bytes=GB,
        beside=("method", "url"),
        urls=("/v1/chat/completions", "/v1/embeddings"),
        google=False,
    ),
    "developer": Family(
        name="Gemini on the Developer API",
        id="key",
        wrapper="request",
        plain=("contents",),
        example=_GEMINI_LINE,
        must=_gemini(vertex=False),
        members="developer.GenerateContentRequest",
        rows=None,
        bytes=2 * GB,
        config=True,
    ),
    # Known from clients of others only: Google's pages about batches don't name it.
    "developer-openai": Family(
        name="OpenAI-style lines on the Developer API",
        id="custom_id",
        wrapper="body",
        plain=(),
        example=_OPENAI_LINE,
        must=_CHAT,
        members="open.Request",
        rows=None,
        bytes=2 * GB,
        beside=("method", "url"),
        urls=("/v1/chat/completions",),
        google=False,
    ),
    "developer-embedding": Family(
        name="embeddings on the Developer API",
        id="key",
        wrapper="request",
        plain=("content", "text", "contents"),
        example=_EMBEDDING_LINE,
        must=_EMBEDDING,
        members="developer.EmbedContentRequest",
        rows=None,
        bytes=2 * GB,
        embeds=True,
    ),
}

#: OpenAI-style formats, by the names of the formats that the same models have.
_OTHERS = {_FAMILIES["developer"].name: _FAMILIES["developer-openai"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """
    The choices for one file.

    Raises:
        ValueError: the generation configuration is not a JSON object, has a member in
            two spellings, or the model takes none.
    """

    backend: str = "vertex"
    model: str = MODEL
    fix: bool = False  #: mend errors that need no guess
    #: What happens to a member that isn't in the API's list: "reject" or "allow".
    unknown: str = REJECT
    on_invalid: str = REJECT
    max_invalid: int | None = None  #: the most bad lines that "skip" leaves out
    #: JSON, merged into each request; what the request says itself wins. See `placed`.
    generation_config: bytes | None = None
    #: Where `gs://` media may lie; None: anywhere.
    sources: tuple[Place, ...] | None = None
    #: Whether a key may be a number: only where the key isn't what is sent.
    key_numbers: bool = True
    #: The most bytes that a packed file may unpack to.
    max_unpacked: int = 20 * GB
    #: The lines are OpenAI-style, where the model has another format too.
    openai: bool = False

    def __post_init__(self) -> None:
        if self.generation_config is None:
            return
        if not self.family.config:
            raise ValueError(
                f"a generation configuration is for Gemini, not for {self.model}"
            )
        try:
            config = msgspec.json.decode(
                self.generation_config, type=dict[str, msgspec.Raw]
            )
        except msgspec.DecodeError as exc:
            raise ValueError(
                f"the generation configuration is no JSON object: {exc}"
            ) from exc
        placed(config)

    @property
    def strict(self) -> bool:
        """Whether requests are compared with the lists of members."""
        return self.unknown != ALLOW

    @property
    def imports(self) -> bool:
        """Whether the API imports the file as a whole, as BigQuery would."""
        return self.backend == "vertex"

    @property
    def family(self) -> Family:
        """The line format, which backend and model decide, and `openai`."""
        family = _family_of(self.backend, self.model)
        other = _OTHERS.get(family.name) if self.openai else None
        return other or family

    @property
    def openai_family(self) -> Family | None:
        """The format of OpenAI-style lines, where the model has another one too."""
        return _OTHERS.get(_family_of(self.backend, self.model).name)

    @property
    def other_family(self) -> Family | None:
        """The other format that the model has, which no line of the file may have."""
        if self.openai:
            return _family_of(self.backend, self.model)
        return self.openai_family

    @property
    def model_pattern(self) -> str:
        """A pattern for the job's model, the only one that a line may name."""
        return rf"^(?:.*/)?{re.escape(short_model(self.model))}(?:@[^/]*)?$"

    def medium_pattern(self, name: str) -> str | None:
        """A pattern for the address of a medium; None if the member never holds one."""
        if name not in MEDIA and name not in MAYBE_MEDIA:
            return None
        places = (
            ["[^/]+/."]
            if self.sources is None
            else [re.escape(f"{at.bucket}/{at.prefix}") + "." for at in self.sources]
        )
        allowed = f"{_STRAIGHT}gs://(?:{'|'.join(places)})" if places else "(?!)"
        if name in MEDIA and self.backend == "vertex":
            # Objects, and public videos of YouTube (Vertex AI docs).
            youtube = r"https://(?:www\.youtube\.com|youtube\.com|youtu\.be)/."
            return f"^(?:{allowed}|{youtube})"
        return rf"^(?:(?!\s*[gG][sS]:)|{allowed})"


@lru_cache(100)  # asked for several times a line
def _family_of(backend: str, model: str) -> Family:
    publisher = _publisher(model)
    name = short_model(model)
    embeds = "embedding" in name
    if backend == "developer":
        kind = "developer-embedding" if embeds else "developer"
    elif publisher == "anthropic" or name.startswith("claude"):
        kind = "claude"
    elif publisher not in ("", "google"):
        kind = "open"
    elif embeds:
        kind = "text-embedding" if embeds_text(name) else "gemini-embedding"
    else:
        kind = "gemini"
    return _FAMILIES[kind]


def embeds_text(model: str) -> bool:
    """
    Whether lines for an embedding model of Vertex AI hold a text alone, in place of a
    request. That holds for its first models, and for models tuned from them, whose
    names don't say so. There will be no more of these.
    """
    name = short_model(model)
    first = ("text-embedding", "text-multilingual-embedding", "textembedding")
    return name.startswith(first) or "embedding" not in name


def _publisher(model: str) -> str:
    """`meta` of `publishers/meta/models/llama-4` and `meta/llama-4`; "" if unnamed."""
    named = model.partition("publishers/")[2]
    if not named and not model.startswith(("projects/", "models/", "tunedModels/")):
        named = model if "/" in model else ""
    return named.partition("/")[0]


def short_model(model: str) -> str:
    """`gemini-3.8-flash` of `publishers/google/models/gemini-3.8-flash@001`."""
    return model.rpartition("/")[2].partition("@")[0]
