"""cloudbuild.yaml is a valid build, and its steps are in a safe order."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from google.cloud.devtools.cloudbuild_v1.types import Build
from google.protobuf import json_format

from tests.infra.plan import Plan
from tests.infra.terraform import INFRA, ROOT

FILE = ROOT / "cloudbuild.yaml"


def read() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return content


def step(build: dict[str, Any], id: str) -> dict[str, Any]:
    return next(each for each in build["steps"] if each["id"] == id)


def faults(build: dict[str, Any]) -> Iterator[str]:
    """What Cloud Build, or a careful reader, would reject."""
    try:
        json_format.ParseDict(build, Build.pb(Build()))
    except json_format.ParseError as exc:
        yield f"not a build: {exc}"
    if "serviceAccount" not in build:
        yield "it would run as the project's default account"
    elif build.get("options", {}).get("logging") != "CLOUD_LOGGING_ONLY":
        yield "a build with its own account must log to Cloud Logging"
    substitutions = build.get("substitutions", {})
    for name, value in substitutions.items():
        if "$" in value and not build["options"].get("dynamicSubstitutions"):
            yield f"{name} names another, but dynamicSubstitutions is off"
        if not re.fullmatch(r"_[A-Z0-9_]+", name):
            yield f"substitution {name} doesn't begin with _"
    used = set(re.findall(r"\$\{?(_[A-Z0-9_]+)", yaml.safe_dump(build["steps"])))
    yield from (f"{name} is never set" for name in used - set(substitutions))
    yield from (f"{name} is never used" for name in set(substitutions) - used)
    before: list[str] = []
    for index, each in enumerate(build["steps"]):
        name = each.get("id", f"steps[{index}]")
        image = each.get("name", "")
        if not re.search(r":[\w-]*\d+\.\d+\.\d+[\w.-]*$|@sha256:[0-9a-f]{64}$", image):
            yield f"{name}: the image {image!r} is not pinned"
        if "kaniko" in yaml.safe_dump(each):
            yield f"{name}: Kaniko is no longer maintained"
        if not str(each.get("script", "#!/bin/sh")).startswith("#!/bin/sh"):
            yield f"{name}: the script doesn't begin with #!/bin/sh"
        if "script" in each and ("args" in each or "entrypoint" in each):
            yield f"{name}: has a script and arguments"
        # Without waitFor a step waits for all before it; with it, for those named.
        for other in each.get("waitFor", ()):
            if other != "-" and other not in before:
                yield f"{name}: waits for {other}, which is not an earlier step"
        before.append(name)


def waits_for(build: dict[str, Any], id: str) -> set[str]:
    """All steps that have ended when this one begins."""
    direct = set(step(build, id)["waitFor"]) - {"-"}
    return direct.union(*(waits_for(build, other) for other in direct))


def test_it_is_a_build_without_faults() -> None:
    assert list(faults(read())) == []


def test_nothing_is_uploaded_before_all_checks_pass() -> None:
    checks = {"lint-and-types", "audit", "tests", "infrastructure"}

    assert checks < waits_for(read(), "upload")


def test_it_is_zipped_uploaded_planned_and_applied_in_this_order() -> None:
    build = read()

    assert step(build, "upload")["waitFor"] == ["zip"]
    assert step(build, "plan")["waitFor"] == ["upload"]
    assert step(build, "apply")["waitFor"] == ["plan"]


def test_it_applies_only_with_the_substitution_apply() -> None:
    build = read()
    applying = [each["id"] for each in build["steps"] if "terraform apply" in str(each)]

    assert build["substitutions"]["_APPLY"] == "false"
    assert applying == ["apply"]
    assert re.search(
        r'if \[ "\$_APPLY" = true \]; then\n\s+terraform apply .*\nelse',
        step(build, "apply")["script"],
    )


def test_what_is_applied_is_what_was_planned() -> None:
    build = read()

    assert "-out=/workspace/build/planned" in step(build, "plan")["script"]
    assert "/workspace/build/planned" in step(build, "apply")["script"]


def test_a_test_that_cannot_run_fails_the_build() -> None:
    for id in ("tests", "infrastructure"):
        assert "CI=true" in step(read(), id)["env"]


def test_it_runs_the_proofs_that_no_push_waits_for() -> None:
    for id in ("tests", "infrastructure"):
        assert '-m "not exhaustive"' in step(read(), id)["script"]


def test_its_account_is_the_one_that_terraform_makes(everything: Plan) -> None:
    account = everything.at('google_service_account.cloud_build["this"]')
    email = account.values["email"].replace(everything.name, "batchdrop")

    assert read()["serviceAccount"] == (
        "projects/$PROJECT_ID/serviceAccounts/"
        + email.replace(everything.project, "$PROJECT_ID")
    )


def test_it_sets_every_variable_without_a_default_but_the_model() -> None:
    text = (INFRA / "variables.tf").read_text()
    blocks = re.findall(r'^variable "(\w+)" \{$(.*?)^\}$', text, re.M | re.S)
    required = {name for name, body in blocks if "  default " not in body}
    given = set(re.findall(r'-var="(\w+)=', step(read(), "plan")["script"]))

    # The model is in terraform.tfvars, with the deployer's other choices.
    assert required - given == {"model"}
    assert given <= {name for name, _ in blocks}


def test_it_runs_the_terraform_that_versions_tf_asks_for() -> None:
    images = {s["name"] for s in read()["steps"] if "terraform" in s["name"]}

    assert images == {"hashicorp/terraform:1.11.4"}
    assert 'required_version = ">= 1.11"' in (INFRA / "versions.tf").read_text()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("timeout: 2400s", "timeout: 40m", "not a build"),
        ("waitFor: [zip]", "waitfor: [zip]", "not a build"),
        ("  dynamicSub", "  machineType: E2_HIGHCPU_9\n  dynamicSub", "not a build"),
        ("steps:", "step: []\nsteps:", "not a build"),
        ("waitFor: [upload]", "waitFor: [uploads]", "waits for uploads"),
        ("logging: CLOUD_LOGGING_ONLY", "logging: NONE", "Cloud Logging"),
        ("docker:27.5.1-cli", "docker:latest", "not pinned"),
        ("  _APPLY:", "  APPLY:", "doesn't begin with _"),
        ('"$_APPLY" = true', '"$_REALLY" = true', "_REALLY is never set"),
        ("    args: [/bin", "    script: ls\n    args: [/bin", "a script and"),
        ("    name: docker:27.5.1-cli\n", "", "not pinned"),
        (
            "  dynamicSubstitutions: true",
            "  dynamicSubstitutions: false",
            "names another",
        ),
    ],
)
def test_a_mistake_in_it_is_noticed(old: str, new: str, says: str) -> None:
    text = FILE.read_text()
    assert text.count(old) == 1

    found = list(faults(yaml.safe_load(text.replace(old, new))))

    assert any(says in fault for fault in found), found
