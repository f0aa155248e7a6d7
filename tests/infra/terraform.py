"""Terraform, run on a copy of infra/ against the stand-in provider."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import services

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"

#: The variables without a default, as a deployer would set them.
CHOICES: Mapping[str, Any] = {
    "project_id": "example-project",
    "deploy_bucket": "example-project-batchdrop-deploy",
    "model": "gemini-3.8-flash",
    "release": f"functions-{'0123456789abcdef' * 4}.zip",
}


class TerraformError(Exception):
    """Terraform failed; the message is its output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A folder with copies of infra/ and functions/, to run Terraform in."""

    folder: Path
    env: Mapping[str, str]

    @property
    def infra(self) -> Path:
        return self.folder / "infra"

    @property
    def functions(self) -> Path:
        return self.folder / "functions"

    def run(self, *arguments: str) -> str:
        """
        Runs a Terraform command; returns its output.

        Raises:
            TerraformError: the command failed.
        """
        done = subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=self.infra,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            # The output before the error is the plan so far.
            output = done.stdout + done.stderr
            raise TerraformError(output[output.find("Error:") :])
        return done.stdout

    def plan(self, **choices: Any) -> dict[str, Any]:
        """
        A plan without any state, as `terraform show -json` prints it.

        Args:
            choices: values of variables. CHOICES has those that are required.
        """
        variables = {**CHOICES, **choices}
        file = self.infra / "chosen.tfvars.json"
        file.write_text(json.dumps(variables))
        self.run("plan", "-input=false", "-out=planned", f"-var-file={file.name}")
        plan: dict[str, Any] = json.loads(self.run("show", "-json", "planned"))
        return plan


def must_be_there() -> None:
    """Skips the test if Terraform isn't installed; fails it if `CI` is set."""
    if shutil.which("terraform") is None:
        services.unavailable(
            "Terraform is not on the PATH; get 1.11 or later from "
            "https://developer.hashicorp.com/terraform/install"
        )


def copy(folder: Path, env: Mapping[str, str]) -> Workspace:
    """
    Copies infra/ and functions/, without backend.tf, which needs a bucket: the state is
    a local file.
    """
    for name in ("infra", "functions"):
        shutil.copytree(
            ROOT / name,
            folder / name,
            ignore=shutil.ignore_patterns(
                "__pycache__",
                "local",
                "schema",
                "backend.tf",
                ".terraform*",
                "terraform.tfvars",
                "*.tfstate*",
            ),
        )
    return Workspace(folder=folder, env=env)
