"""
Classes that values are read into are known to msgspec before there are threads. It
hands out what it knows of a class while it is finding that out: two threads that read
their first values at the same moment have crashed the process.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

FUNCTIONS = Path(__file__).parents[2] / "functions"

#: What each module converts to. What else it reads, decoders read that it makes when it
#: is imported; `batches.wire` has only classes that those know.
CONVERTED = {
    "batchdrop.ledger.documents": ["Job", "Announcement"],
    "batchdrop.subscribe": ["JobEvent"],
    "batchdrop.batches.config": ["CreateBatchJobConfig", "ListBatchJobsConfig"],
    "batchdrop.batches.wire": [],
}

#: What another module has `batchdrop.ledger.documents` read documents into.
DECODED = {"batchdrop.ledger.state": ["ReconcileRecord", "SweepRecord"]}

#: Which of them aren't known in a process that has done nothing but import.
UNKNOWN = """
import gc, json, sys
from importlib import import_module
for module, names in json.loads(sys.argv[1]).items():
    for name in names:
        held = getattr(import_module(module), name)
        about = [*gc.get_referents(held), *vars(held).values()]
        if not {"StructInfo", "DataclassInfo"} & {type(one).__name__ for one in about}:
            print(name)
"""


def test_each_class_is_known_as_soon_as_its_module_is_imported() -> None:
    command = [sys.executable, "-c", UNKNOWN, json.dumps(CONVERTED | DECODED)]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


def test_no_other_module_converts() -> None:
    found = {
        ".".join(path.relative_to(FUNCTIONS).with_suffix("").parts)
        for path in FUNCTIONS.rglob("*.py")
        if re.search(
            r"msgspec\.convert\(|json\.decode\([^)]*type=[A-Z]", path.read_text()
        )
    }

    assert found == set(CONVERTED)
