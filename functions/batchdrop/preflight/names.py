"""Names of members: their two spellings, and the one that a misspelt name means."""

import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

#: Characters of a name that is compared with the known ones.
LONGEST_COMPARED = 100
#: Multi-word members of GenerateContentRequest and EmbedContentRequest, as in the
#: discovery documents of aiplatform v1 and generativelanguage v1beta.
TWO_SPELLINGS = frozenset(
    """
    additionalProperties allowedFunctionNames anyOf audioTimestamp autoTruncate
    cachedContent candidateCount codeExecution codeExecutionResult displayName
    dynamicRetrievalConfig dynamicThreshold embedContentConfig
    enableAffectiveDialog enableEnhancedCivicAnswers endOffset executableCode
    fileData fileUri frequencyPenalty functionCall functionCallingConfig
    functionDeclarations functionResponse generationConfig googleMaps googleSearch
    googleSearchRetrieval imageConfig includeThoughts inlineData languageCode latLng
    maxItems maxLength maxOutputTokens maxProperties mediaResolution mimeType minItems
    minLength minProperties multiSpeakerVoiceConfig outputDimensionality
    parametersJsonSchema prebuiltVoiceConfig presencePenalty propertyOrdering
    responseJsonSchema responseLogprobs responseMimeType responseModalities
    responseSchema retrievalConfig routingConfig safetySettings serviceTier
    speakerVoiceConfigs speechConfig startOffset stopSequences systemInstruction
    taskType thinkingBudget thinkingConfig thinkingLevel thoughtSignature toolConfig
    topK topP urlContext videoMetadata voiceConfig voiceName
    """.split()  # noqa: SIM905 - many words: a list would take many lines
)

#: In these, names are the user's own, and have one spelling.
OWN_NAMES = frozenset(
    {"properties", "$defs", "defs", "labels", "args", "response", "metadata"}
)

#: In a configuration, these hold data, or schemas with words of their own.
_DATA = frozenset(
    """
    args default example parametersJsonSchema partMetadata responseJsonSchema
    """.split()  # noqa: SIM905 - as above
)

#: The import takes these with null: files for Vertex had one, to give a tool a member,
#: and ran (googleapis/python-genai issue 2123).
NULL_RUNS = frozenset({"timeRangeFilter"})

#: Members of a generation configuration that stand beside `contents`. All others stand
#: in `generationConfig` (GenerateContentRequest in the discovery documents of both
#: APIs; google-genai 3.6.1, models.py, puts them there too).
BESIDE_CONTENTS = frozenset(
    """
    systemInstruction safetySettings tools toolConfig cachedContent labels serviceTier
    modelArmorConfig outputConfig continuationToken store
    """.split()  # noqa: SIM905 - as above
)


def placed(configuration: Mapping[str, T]) -> tuple[dict[str, T], dict[str, T]]:
    """
    The members of a generation configuration by where they stand in a request, under
    their names in camelCase: those beside `contents`, and those in `generationConfig`.

    Raises:
        ValueError: one is given twice, in two spellings.
    """
    beside: dict[str, T] = {}
    inside: dict[str, T] = {}
    for written, value in configuration.items():
        name = camel(written)
        part = beside if name in BESIDE_CONTENTS else inside
        if name in part:
            known = name if name in TWO_SPELLINGS else "a member"
            raise ValueError(f"{known} is given twice, in two spellings; leave one out")
        part[name] = value
    return beside, inside


def camel(name: str) -> str:
    """A name in camelCase: `generationConfig` of `generation_config`."""
    if "_" not in name:
        return name
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def camel_case(value: Any, name: str = "") -> Any:
    """
    JSON as a value, with all members in camelCase that have two spellings.

    Args:
        name: the member that holds it.
    """
    if isinstance(value, list):
        return [camel_case(item, name) for item in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for member, inner in value.items():
        common = camel(member)
        spelled = member if name in OWN_NAMES or common not in TWO_SPELLINGS else common
        made[spelled] = (
            inner
            if spelled in _DATA and name not in OWN_NAMES
            else camel_case(inner, spelled)
        )
    return made


def snake(name: str) -> str:
    """A name in snake_case."""
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that a misspelled one most likely stands for."""
    # To compare a name takes fifty times its memory, and a user's may have megabytes.
    if len(name) > LONGEST_COMPARED:
        return None
    from difflib import get_close_matches  # only bad names need it

    return next(iter(get_close_matches(name, known, n=1)), None)
