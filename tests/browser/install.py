"""
Installs what the tests of the pages need and this machine lacks, where it may.

    python -m tests.browser.install

Debian's Chromium and its driver by apt-get, as root or with a sudo that asks for no
password; axe-core by npm, into a folder of the tests. Says what it could not install
and ends well all the same: the tests then skip, or fail where `CI` is set.
"""

import os
import shutil
import subprocess
import sys

from tests.browser.chromium import AXE, missing
from tests.services import NotInstalled, installed

PACKAGES = ("chromium", "chromium-driver")


def main() -> None:
    if missing() and shutil.which("apt-get"):
        _apt_get("update", "--quiet=2")
        _apt_get("install", "--quiet=2", "--yes", "--no-install-recommends", *PACKAGES)
    if why := missing():
        print(why, file=sys.stderr)
    try:
        installed(AXE)
    except NotInstalled as exc:
        print(f"{AXE}: {exc}", file=sys.stderr)


def _apt_get(*arguments: str) -> None:
    # Another one may be at work, and is soon over.
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=120", *arguments]
    if os.geteuid():
        command = ["sudo", "--non-interactive", *command]
    try:
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, env=env, stdout=subprocess.DEVNULL, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as exc:
        print(f"{' '.join(command)}: {exc}", file=sys.stderr)


if __name__ == "__main__":
    main()
