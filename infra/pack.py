#!/usr/bin/env python3
"""
Packs functions/ into the zip that is deployed, and prints where it lies.

    $ python3 infra/pack.py
    build/functions-SHA256.zip

The name follows from the content, and the content from the files alone: the same
files make the same zip, byte for byte, on any machine and at any time.
"""

import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = ROOT / "functions"

#: What Python or an editor leaves behind.
NOT_OURS = {"__pycache__", ".DS_Store", ".mypy_cache", ".ruff_cache"}


def main() -> None:
    """Writes build/functions-SHA256.zip, beside what lies there from before."""
    data = packed(FUNCTIONS)
    path = ROOT / "build" / f"functions-{hashlib.sha256(data).hexdigest()}.zip"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    sys.stdout.write(f"{os.path.relpath(path)}\n")


def packed(folder: Path) -> bytes:
    """A zip of all files of a folder, named from there."""
    out = io.BytesIO()
    # Not compressed, as what compresses differs from machine to machine.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_dir() or NOT_OURS.intersection(name.parts):
                continue
            # The oldest time that a zip can tell; rights that let a build read it.
            entry = zipfile.ZipInfo(name.as_posix(), (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # Unix, wherever this runs
            archive.writestr(entry, path.read_bytes())
    return out.getvalue()


if __name__ == "__main__":
    main()
