"""Reads a deployment's settings from Terraform's outputs."""

import json
import subprocess
import sys
from pathlib import Path

import click

from batchdrop.cli.deployments import variables_of
from batchdrop.views.text import shown

#: Seconds that Terraform may take to read its state.
TIMEOUT = 120


def settings_of(place: str) -> dict[str, str]:
    """
    The variables of a deployment from Terraform's output `settings`.

    Raises:
        click.ClickException: there is no such output, or Terraform fails.
    """
    try:
        if place == "-":
            text = sys.stdin.buffer.read()
        elif Path(place).is_dir():
            command = ["terraform", f"-chdir={place}", "output", "-json", "-no-color"]
            ran = subprocess.run(command, capture_output=True, timeout=TIMEOUT)
            if ran.returncode:
                why = _error_in(ran.stderr.decode(errors="replace"))
                raise click.ClickException(
                    f"terraform -chdir={place} output: {shown(why)}"
                )
            text = ran.stdout
        else:
            text = Path(place).read_bytes()
        return variables_of(json.loads(text)["settings"]["value"])
    except FileNotFoundError as exc:
        if exc.filename == "terraform":
            raise click.ClickException(
                "there is no terraform on the PATH; give a file of what `terraform "
                "output -json` prints"
            ) from exc
        raise click.ClickException(f"{place} is not there") from exc
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise click.ClickException(f"{place}: {shown(str(exc))}") from exc
    except (LookupError, TypeError, ValueError) as exc:
        raise click.ClickException(
            f"{place} has no output `settings`; run `terraform apply` with this "
            "release, and give its folder or what `terraform output -json` prints"
        ) from exc


def _error_in(text: str) -> str:
    """The headline of what Terraform says of an error, at length."""
    lines = [line.strip(" │\r") for line in text.splitlines()]
    headlines = [line for line in lines if line.startswith("Error: ")]
    return (headlines or [line for line in lines if line] or ["it failed"])[0]
