"""Members of Gemini's requests that have two spellings, camelCase and snake_case."""

import re

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
    """.split()  # noqa: SIM905 - many words, of which a list would take many lines
)

#: Under these the names are the user's own, and mean what they say.
OWN_NAMES = frozenset({"properties", "labels", "args", "response", "metadata"})


def camel(name: str) -> str:
    """A name in camelCase: `generationConfig` of `generation_config`."""
    if "_" not in name:
        return name
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def snake(name: str) -> str:
    """A name in snake_case."""
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)
