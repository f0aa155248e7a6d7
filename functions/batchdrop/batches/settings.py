"""
Which API a client uses, and with which credentials: from its arguments and from the
environment, in the official SDK's order of precedence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from batchdrop.batches.credentials import ApiKey, GoogleCredentials, Signer
from batchdrop.batches.developer import Developer
from batchdrop.batches.types import HttpOptions
from batchdrop.batches.vertex import Vertex


@dataclass(frozen=True, slots=True)
class Settings:
    """A client's dialect, signer, options and credentials."""

    dialect: Vertex | Developer
    signer: Signer | None
    options: HttpOptions
    credentials: Any = None  #: for Cloud Storage and BigQuery; None: the default ones


def resolve(
    *,
    vertexai: bool | None,
    project: str | None,
    location: str | None,
    api_key: str | None,
    credentials: Any,
    options: HttpOptions,
    env: Mapping[str, str],
    default_project: Callable[[], tuple[Any, str | None]],
) -> Settings:
    """
    The settings of a client.

        which API     vertexai, GOOGLE_GENAI_USE_ENTERPRISE,
                          GOOGLE_GENAI_USE_VERTEXAI, else the Developer API
        api_key           the argument, GOOGLE_API_KEY, GEMINI_API_KEY
        project           the argument, GOOGLE_CLOUD_PROJECT, that of the default
                          credentials
        location          the argument, GOOGLE_CLOUD_LOCATION, "global"
        base_url          http_options, GOOGLE_VERTEX_BASE_URL or GOOGLE_GEMINI_BASE_URL
        api_version       http_options, GOOGLE_GENAI_API_VERSION ("beta": v1beta1 or
                          v1beta), else v1beta1 on Vertex AI and v1 on the Developer API

    On Vertex AI an API key excludes a project or location. An argument overrides the
    environment; in the environment, the project overrides the key.

    Args:
        default_project: the application default credentials and their project; called
            only when no project is given.

    Raises:
        ValueError: the arguments contradict each other, or there is no API key or no
            project.
    """
    if vertexai is None:
        vertexai = _vertex_by_env(env)
    if (project or location) and not vertexai:
        raise ValueError(
            "project and location are Vertex AI's: pass vertexai=True, or leave them "
            "out for the Gemini Developer API"
        )
    if options.base_url_resource_scope and not options.base_url:
        raise ValueError(
            "http_options.base_url_resource_scope says what base_url holds: give both"
        )
    if credentials is not None and api_key:
        raise ValueError("credentials and api_key exclude each other: pass one")
    if vertexai:
        return _vertex(
            project, location, api_key, credentials, options, env, default_project
        )
    key = (api_key or _env_key(env) or "").strip()
    if not key:
        raise ValueError(
            "No API key was provided: pass api_key, or set GOOGLE_API_KEY or "
            "GEMINI_API_KEY; for Vertex AI pass vertexai=True"
        )
    options = _with_base_url(options, env.get("GOOGLE_GEMINI_BASE_URL"))
    return Settings(
        Developer(
            base_url=options.base_url,
            api_version=_version(options, env, "v1", "v1beta"),
            whole_base=options.base_url_resource_scope is not None,
        ),
        ApiKey(key),
        options,
    )


def _vertex(
    project: str | None,
    location: str | None,
    api_key: str | None,
    credentials: Any,
    options: HttpOptions,
    env: Mapping[str, str],
    default_project: Callable[[], tuple[Any, str | None]],
) -> Settings:
    env_project = env.get("GOOGLE_CLOUD_PROJECT")
    env_location = env.get("GOOGLE_CLOUD_LOCATION")
    named = project or location
    if api_key and not named:
        env_project = env_location = None  # an argument overrides the environment
    project, location = project or env_project, location or env_location
    if not api_key and credentials is None and not (project or location):
        api_key = _env_key(env)
    options = _with_base_url(options, env.get("GOOGLE_VERTEX_BASE_URL"))
    version = _version(options, env, "v1beta1", "v1beta1")

    signer: Signer | None
    if api_key:
        signer = ApiKey(api_key.strip())
        location = (location or "global") if project else None
    else:
        location = location or "global"
        if not project and not options.base_url:
            found, project = default_project()
            credentials = credentials if credentials is not None else found
            if not project:
                raise ValueError(
                    "Vertex AI needs a project: pass project, or set "
                    "GOOGLE_CLOUD_PROJECT"
                )
        # Without a project, base_url is a gateway that signs requests itself.
        signer = GoogleCredentials(credentials) if project or credentials else None
        if not project:
            location = None
    dialect = Vertex(
        project=project,
        location=location,
        base_url=options.base_url,
        api_version=version,
        whole_base=options.base_url_resource_scope is not None,
    )
    return Settings(dialect, signer, options, credentials)


def _vertex_by_env(env: Mapping[str, str]) -> bool:
    choices = {
        name: env[name].lower() in ("true", "1")
        for name in ("GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI")
        if name in env
    }
    if len(set(choices.values())) == 2:
        import warnings

        warnings.warn(
            "GOOGLE_GENAI_USE_ENTERPRISE and GOOGLE_GENAI_USE_VERTEXAI contradict each "
            "other; the first is used",
            stacklevel=5,
        )
    return next(iter(choices.values()), False)


def _env_key(env: Mapping[str, str]) -> str | None:
    google, gemini = env.get("GOOGLE_API_KEY"), env.get("GEMINI_API_KEY")
    if google and gemini:
        import logging

        log = logging.getLogger(__name__)
        log.warning("both GOOGLE_API_KEY and GEMINI_API_KEY are set; the first is used")
    return google or gemini or None


def _with_base_url(options: HttpOptions, from_env: str | None) -> HttpOptions:
    if options.base_url or not from_env:
        return options
    return replace(options, base_url=from_env)


def _version(
    options: HttpOptions, env: Mapping[str, str], default: str, beta: str
) -> str:
    if options.api_version:
        return options.api_version
    version = env.get("GOOGLE_GENAI_API_VERSION")
    return beta if version == "beta" else version or default
