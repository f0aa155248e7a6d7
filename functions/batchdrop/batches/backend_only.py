"""
Refuses members that only the other API has, before anything is sent. The lists are
those of the official SDK's converters (google-genai 3.6.1, batches.py and models.py);
`tests/client/test_official_requests.py` compares them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from batchdrop.batches.inline import camel

#: Members that the other API lacks are refused when they are given, or when they
#: are true; others have members of their own. "*" is every member of a map whose names
#: are the caller's. Lists are seen through.
_Tree = Mapping[str, Any]
_GIVEN = "given"
_TRUE = "true"

_VERTEX_SCHEMA: dict[str, Any] = {"additionalProperties": _TRUE}
_VERTEX_SCHEMA |= {
    "items": _VERTEX_SCHEMA,
    "anyOf": _VERTEX_SCHEMA,
    "properties": {"*": _VERTEX_SCHEMA},
}
_VERTEX_CONTENT: _Tree = {
    "parts": {"functionCall": {"partialArgs": _GIVEN, "willContinue": _GIVEN}}
}

#: Vertex AI's, of a GenerateContentRequest.
_VERTEX: _Tree = {
    "contents": _VERTEX_CONTENT,
    "systemInstruction": _VERTEX_CONTENT,
    "generationConfig": {
        "audioTimestamp": _GIVEN,
        "generationOutputConfig": _GIVEN,
        "imageConfig": {
            "imageOutputOptions": _GIVEN,
            "outputCompressionQuality": _GIVEN,
            "outputMimeType": _GIVEN,
            "personGeneration": _GIVEN,
            "prominentPeople": _GIVEN,
        },
        "modelSelectionConfig": _GIVEN,
        "responseSchema": _VERTEX_SCHEMA,
        "routingConfig": _GIVEN,
    },
    "modelArmorConfig": _GIVEN,
    "outputConfig": _GIVEN,
    "safetySettings": {"method": _GIVEN},
    "toolConfig": {"functionCallingConfig": {"streamFunctionCallArguments": _GIVEN}},
    "tools": {
        "enterpriseWebSearch": _GIVEN,
        "exaAiSearch": _GIVEN,
        "googleMaps": {
            "authConfig": {
                "apiKeyConfig": _GIVEN,
                "authType": _GIVEN,
                "googleServiceAccountConfig": _GIVEN,
                "httpBasicAuthConfig": _GIVEN,
                "oauthConfig": _GIVEN,
                "oidcConfig": _GIVEN,
            },
            "groundingTypes": _GIVEN,
        },
        "googleSearch": {"blockingConfidence": _GIVEN, "excludeDomains": _GIVEN},
        "parallelAiSearch": _GIVEN,
        "retrieval": _GIVEN,
    },
}

#: Vertex AI's, of an EmbedContentRequest.
_VERTEX_EMBEDDING: _Tree = {
    "audioTrackExtraction": _GIVEN,
    "autoTruncate": _GIVEN,
    "documentOcr": _GIVEN,
    "mimeType": _GIVEN,
}

_DEVELOPER_CONTENT: _Tree = {
    "parts": {
        "functionResponse": {
            "parts": {"mediaProcessing": _GIVEN},
            "willContinue": _GIVEN,
        },
        "partMetadata": _GIVEN,
        "toolCall": _GIVEN,
        "toolResponse": _GIVEN,
    }
}

_DEVELOPER_VOICE: _Tree = {
    "replicatedVoiceConfig": {"consentAudio": _GIVEN, "voiceConsentSignature": _GIVEN}
}

#: The Developer API's, of a GenerateContentRequest.
_DEVELOPER: _Tree = {
    "contents": _DEVELOPER_CONTENT,
    "systemInstruction": _DEVELOPER_CONTENT,
    "generationConfig": {
        "enableEnhancedCivicAnswers": _GIVEN,
        "speechConfig": {
            "multiSpeakerVoiceConfig": {
                "speakerVoiceConfigs": {"voiceConfig": _DEVELOPER_VOICE}
            },
            "voiceConfig": _DEVELOPER_VOICE,
        },
    },
    "store": _GIVEN,
    "toolConfig": {"includeServerSideToolInvocations": _GIVEN},
    "tools": {
        "fileSearch": _GIVEN,
        "mcpServers": {"name": _GIVEN, "streamableHttpTransport": _GIVEN},
    },
}


def check(request: Mapping[str, Any], *, vertex: bool) -> None:
    """ValueError if a GenerateContentRequest has a member of the other API's."""
    _refuse(request, _DEVELOPER if vertex else _VERTEX, vertex, "")


def check_embedding(request: Mapping[str, Any]) -> None:
    """ValueError if the Developer API lacks a member of an EmbedContentRequest."""
    _refuse(request, _VERTEX_EMBEDDING, False, "")


def _refuse(value: Any, tree: Any, vertex: bool, path: str) -> None:
    if isinstance(tree, str):
        if value is None or (tree == _TRUE and not value):
            return
        apis = ("Vertex AI", "the Gemini Developer API")
        here, other = apis if vertex else reversed(apis)
        raise ValueError(
            f"{path} is {other}'s alone; {here} has no such member: leave it out"
        )
    if isinstance(value, Mapping):
        for name, member in value.items():
            below = tree.get(name) or tree.get(camel(str(name))) or tree.get("*")
            if below is not None:
                _refuse(member, below, vertex, f"{path}.{name}" if path else str(name))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            _refuse(item, tree, vertex, path)
