"""The deployments that the command line knows, and which of them a command works on."""

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from batchdrop.cli import main
from batchdrop.cli.deployment import deployment, deployment_option
from batchdrop.cli.deployments import Deployment, directory, every, read, write
from batchdrop.options.settings import Settings
from batchdrop_local.processes import free_port
from tests.rules.test_settings import ENOUGH


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("click.get_app_dir", lambda name: str(tmp_path / name))
    for name in [*os.environ]:
        if name.startswith("BATCHDROP_"):
            monkeypatch.delenv(name)
    before = ours()
    yield
    assert ours() == before


def ours() -> dict[str, str]:
    """The environment, less what pytest writes into it."""
    return {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["deployments", *arguments], env=env)


def environment(*arguments: str, env: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a command that works on a deployment."""

    @click.command()
    @deployment_option
    def command() -> None:
        click.echo(json.dumps(dict(os.environ)))

    ran = CliRunner().invoke(command, arguments, env=env, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    found: dict[str, str] = json.loads(ran.output)
    return found


def deployed(name: str, **changes: str) -> None:
    write(Deployment(name=name, env=ENOUGH | changes, source="a test"))


def test_a_deployment_is_added_from_the_environment_without_its_key() -> None:
    ran = run("add", "prod", "--from-env", env=ENOUGH | {"GEMINI_API_KEY": "secret"})

    assert ran.exit_code == 0
    assert read("prod").env.items() >= ENOUGH.items()
    assert "secret" not in (directory() / "prod.json").read_text()


def test_the_first_deployment_is_in_use_and_the_next_is_once_it_is_told() -> None:
    assert "in use" in run("add", "one", "--from-env", env=ENOUGH).output
    assert "deployments use two" in run("add", "two", "--from-env", env=ENOUGH).output

    assert uses() == ["one"]
    assert run("use", "two").exit_code == 0
    assert uses() == ["two"]


def uses() -> list[str]:
    lines = map(json.loads, run("list", "--json").output.splitlines())
    return [line["name"] for line in lines if line["in_use"]]


def test_a_deployment_is_added_from_what_terraform_prints(tmp_path: Path) -> None:
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps({"settings": {"value": ENOUGH, "type": "map"}}))

    ran = run("add", "prod", "--from-terraform", str(file), "--json")

    assert json.loads(ran.stdout)["inbox"] == ENOUGH["BATCHDROP_INBOX"]
    assert read("prod").env == ENOUGH


def test_a_folder_of_terraform_is_asked_for_its_outputs(tmp_path: Path) -> None:
    outputs = json.dumps({"settings": {"value": ENOUGH}})
    binary = tmp_path / "terraform"
    binary.write_text(f"#!/bin/sh\ntest $1 = -chdir={tmp_path} && echo '{outputs}'\n")
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    ran = run("add", "prod", "--from-terraform", str(tmp_path), env=path)

    assert ran.exit_code == 0, ran.output
    assert read("prod").env == ENOUGH


def test_an_error_of_terraform_is_its_headline(tmp_path: Path) -> None:
    binary = tmp_path / "terraform"
    binary.write_text(
        "#!/bin/sh\n"
        "printf '│ Warning: x\\n│ Error: Backend initialization required\\n│ Why' >&2\n"
        "exit 1\n"
    )
    binary.chmod(0o755)
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    ran = run("add", "prod", "--from-terraform", str(tmp_path), env=path)

    assert ran.stderr == (
        f"Error: terraform -chdir={tmp_path} output: Error: Backend initialization "
        "required\n"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "has no output `settings`"),
        ("[1]", "has no output `settings`"),
        ('{"settings": {"value": {"BATCHDROP_PROJECT": "p"}}}', "BATCHDROP_INBOX to"),
    ],
)
def test_what_is_no_deployment_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "outputs.json"
    file.write_text(content)

    ran = run("add", "prod", "--from-terraform", str(file))

    assert ran.exit_code == 1
    assert message in ran.stderr
    assert list(every()) == []


def test_all_settings_that_are_missing_are_named_at_once() -> None:
    ran = run("add", "prod", "--from-env", env={"BATCHDROP_PROJECT": "p"})

    assert ran.exit_code == 1
    assert ran.stderr.count("\n") == 1
    for name in ENOUGH.keys() - {"BATCHDROP_PROJECT"}:
        assert name in ran.stderr


def test_a_deployment_is_replaced_only_if_that_is_said() -> None:
    deployed("prod")

    refused = run("add", "prod", "--from-env", env=ENOUGH)
    replaced = run("add", "prod", "--from-env", "--replace", env=ENOUGH)

    assert (refused.exit_code, replaced.exit_code) == (1, 0)
    assert "--replace" in refused.stderr


@pytest.mark.parametrize("name", ["../x", "A", "", "a b", "-a", "a" * 64, "\x1b[31m"])
def test_a_name_is_a_file_of_ours_and_nothing_else(name: str) -> None:
    ran = run("add", "--from-env", "--", name, env=ENOUGH)

    assert ran.exit_code == 1
    assert "can't be a deployment's name" in ran.stderr
    assert "\x1b" not in ran.stderr


def test_a_command_works_on_the_deployment_that_it_is_given() -> None:
    deployed("one", BATCHDROP_INBOX="one")
    deployed("two", BATCHDROP_INBOX="two")
    run("use", "two")

    assert environment("--deployment", "one")["BATCHDROP_INBOX"] == "one"
    assert environment()["BATCHDROP_INBOX"] == "two"


def test_a_named_deployment_is_not_mixed_with_what_the_environment_describes() -> None:
    deployed("prod", BATCHDROP_INBOX="prod")
    local = ENOUGH | {
        "BATCHDROP_INBOX": "local",
        "BATCHDROP_LEASE": "5",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1",
    }

    found = environment("--deployment", "prod", env=local)

    assert found["BATCHDROP_INBOX"] == "prod"
    assert not found.keys() & {"BATCHDROP_LEASE", "STORAGE_EMULATOR_HOST"}


def test_the_environment_comes_before_the_deployment_in_use() -> None:
    deployed("prod", BATCHDROP_INBOX="prod")
    run("use", "prod")

    described = environment(env=ENOUGH | {"BATCHDROP_INBOX": "described"})
    one_choice = environment(env={"BATCHDROP_MODEL": "gemini-x"})

    assert described["BATCHDROP_INBOX"] == "described"
    assert (one_choice["BATCHDROP_INBOX"], one_choice["BATCHDROP_MODEL"]) == (
        "prod",
        "gemini-x",
    )


def test_a_command_needs_no_key_of_the_api() -> None:
    developer = ENOUGH | {"BATCHDROP_BACKEND": "developer"}
    write(Deployment(name="prod", env=developer))

    for found in (environment("--deployment", "prod"), environment(env=developer)):
        assert Settings.from_env(found).backend == "developer"


def test_a_running_local_stack_is_found_and_one_that_died_is_not(
    tmp_path: Path,
) -> None:
    lock = tmp_path / "lock"
    env = ENOUGH | {"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1"}
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write(Deployment(name="local", env=env, lock=str(lock)))

        found = environment(env={"BATCHDROP_ROUTES": "gs://of/another"})

    assert found["FIRESTORE_EMULATOR_HOST"] == "127.0.0.1:1"
    assert "BATCHDROP_ROUTES" not in found
    assert "BATCHDROP_PROJECT" not in environment()
    assert [*every()] == []


def test_a_deployment_in_use_comes_before_the_local_stack(tmp_path: Path) -> None:
    deployed("prod", BATCHDROP_INBOX="prod")
    run("use", "prod")
    write(Deployment(name="local", env=ENOUGH))

    assert environment()["BATCHDROP_INBOX"] == "prod"


def test_without_a_deployment_a_command_says_how_to_name_one() -> None:
    ran = CliRunner().invoke(main, ["show", "x" * 26])

    assert ran.exit_code == 1
    assert ran.stderr.count("\n") == 1
    assert "batchdrop deployments add NAME --from-terraform DIR" in ran.stderr


def test_an_unknown_deployment_is_an_error_that_lists_those_that_there_are() -> None:
    deployed("one")

    ran = CliRunner().invoke(main, ["show", "x" * 26, "--deployment", "two"])

    assert ran.exit_code == 1
    assert ran.stderr.startswith("Error: there is no deployment two; there are one;")


def test_a_local_stack_in_use_that_stopped_is_never_replaced_by_another() -> None:
    deployed("prod")
    write(Deployment(name="local", env=ENOUGH))
    run("use", "local")
    (directory() / "local.json").unlink()

    ran = CliRunner().invoke(main, ["show", "x" * 26])

    assert ran.exit_code == 1
    assert "the local stack is not running" in ran.stderr


def test_a_forgotten_deployment_is_no_longer_in_use() -> None:
    deployed("prod")
    run("use", "prod")

    assert run("remove", "prod").exit_code == 0
    assert run("use", "prod").exit_code == 1
    assert "BATCHDROP_INBOX" not in environment()


def test_a_directory_that_can_not_be_written_to_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "batchdrop").write_text("no directory")

    ran = run("add", "prod", "--from-env", env=ENOUGH)

    assert ran.exit_code == 1
    assert ran.stderr.startswith(f"Error: {tmp_path}/batchdrop")
    assert ran.stderr.count("\n") == 1


def test_a_file_that_can_not_be_read_is_named() -> None:
    deployed("prod")
    (directory() / "prod.json").write_text("{")

    ran = run("use", "prod")

    assert ran.exit_code == 1
    assert "prod.json can't be read" in ran.stderr


def test_a_command_that_needs_no_deployment_ignores_a_broken_choice() -> None:
    deployed("prod")
    run("use", "prod")
    (directory() / "prod.json").unlink()

    assert "BATCHDROP_INBOX" not in environment()


def test_an_error_leaves_nothing_of_the_terminal_to_others() -> None:
    @click.command()
    @deployment_option
    def command() -> None:
        with deployment():
            raise LookupError("a\x1b[31m\nb")

    ran = CliRunner().invoke(command, env=ENOUGH)

    assert ran.stderr == "Error: a\\x1b[31m\\nb\n"


def test_a_shell_with_the_variables_of_a_stack_that_ended_learns_so_at_once() -> None:
    address = f"127.0.0.1:{free_port()}"
    env = ENOUGH | {"FIRESTORE_EMULATOR_HOST": address}

    ran = CliRunner().invoke(main, ["announcements", "list"], env=env)

    assert ran.exit_code == 1
    assert f"nothing answers at FIRESTORE_EMULATOR_HOST, {address}" in ran.output
    assert "`batchdrop local up`" in ran.output
