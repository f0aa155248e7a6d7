"""Which names of objects become jobs: files of rows, and manifests."""

import re

#: How the name of a manifest ends.
MANIFEST = ".job.json"
#: How the name of a file of rows ends. Its bytes show whether it is packed.
_ROWS = re.compile(r"\.(?:jsonl|ndjson)(?:\.gz)?\Z", re.IGNORECASE | re.ASCII)
#: The same, for people.
ENDINGS = ".jsonl, .ndjson (or either with .gz) or .job.json"
#: What people call files of rows otherwise.
_NEARLY = re.compile(r"\.(?:json|txt|jsonlines?|jl|gz)\Z", re.IGNORECASE | re.ASCII)


def is_manifest(name: str) -> bool:
    """Whether an object of this name is a manifest."""
    return name.endswith(MANIFEST)


def is_file(name: str) -> bool:
    """Whether an object of this name is a file of rows."""
    return _ROWS.search(name) is not None


def manifest_name(file: str) -> str:
    """The name of the manifest of a file."""
    return f"{_ROWS.sub('', file)}{MANIFEST}"


def is_file_of(manifest: str, name: str) -> bool:
    """Whether an object of this name is a file that the manifest is for."""
    return is_file(name) and manifest_name(name) == manifest


def why_ignored(name: str) -> str | None:
    """Why an object of this name makes no job, and what to do; None if it makes one."""
    if is_manifest(name) or is_file(name):
        return None
    file = name.rpartition("/")[2]
    better = f"{_NEARLY.sub('', file)}.jsonl"
    return f"the name doesn't end in {ENDINGS}; drop it as {better}"
