"""The sandbox around Terraform: what is in force, what gets in, what gets out; and limits without it."""

import http.server
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from opsplatform import doctor
from opsplatform.adapters import process, process_limits, process_stop, process_tree, sandbox_syscalls
from opsplatform.adapters.process import Job, Unwatched
from opsplatform.adapters.process_limits import Limits, Meter
from opsplatform.adapters.process_table import session_members
from opsplatform.adapters.sandbox import Box, Sandbox
from opsplatform.adapters.sandbox_files import open_to_all, tidy, user_of
from opsplatform.adapters.sandbox_relay import Relay, Way, way_to
from opsplatform.adapters.terraform import Terraform, find_terraform
from opsplatform.adapters.terraform_engine import bundled_terraform
from opsplatform.adapters.terraform_runner import Runner, Work
from opsplatform.app import create_app
from opsplatform.core.errors import UpstreamError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are made of what only Linux has")

MODULE = 'resource "terraform_data" "made" {\n  input = "x"\n}\n'
HUNGRY = "perl -e '$x = q(a) x 40000000; sleep 9'"
SLEEPER = """
resource "terraform_data" "first" {
}
resource "terraform_data" "sleeper" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "setsid sleep 76 & sleep 76"
  }
}
"""


@pytest.fixture
def inside(sandbox, tmp_path):
    """Run a shell script in the sandbox; answers how it ended and what it wrote."""

    def run(script, *, timeout=20.0, limits=None, watch=None, **options):
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        box = Box(folder, **options)
        limits = limits or Limits()
        with sandbox.around(box, ["/bin/sh", "-c", script], limits) as contained:
            job = Job(
                "shell",
                contained.command,
                folder,
                {"PATH": "/usr/bin:/bin"},
                tmp_path,
                timeout,
                1.0,
                limits=limits,
                descriptors=contained.descriptors,
                begun=contained.begun,
            )
            ended = process.run(job, watch or Unwatched())
        return ended, (tmp_path / "stdout").read_text(), (tmp_path / "stderr").read_text()

    return run


@pytest.fixture
def service():
    """A web service on our loopback address; answers its address, and what was asked of it."""
    asked = []

    class Keeping(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        state = b""

        def answer(self, body=b""):
            asked.append(self.command)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def body(self):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def do_GET(self):
            self.answer(Keeping.state)

        def do_POST(self):
            Keeping.state = self.body()
            self.answer()

        def do_LOCK(self):
            self.body()
            self.answer()

        def do_UNLOCK(self):
            self.do_LOCK()

        def log_message(self, *_):
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keeping)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    thread.join()
    server.server_close()


class Story:
    def __init__(self, root, sandbox, text, *, binary=None, extra=None):
        self.module = root / "module"
        self.module.mkdir(parents=True)
        (self.module / "main.tf").write_text(text)
        self.variables, self.out = root / "variables.tfvars.json", root / "plan.bin"
        self.variables.write_text("{}")
        self.variables.chmod(0o600)
        self.terraform = Terraform(binary or find_terraform("", root), sandbox=sandbox)
        self.env = self.terraform.environment(root, data_dir=None, extra=extra or {})

    def init(self):
        return self.terraform.init(self.module, env=self.env, timeout=60)

    def plan(self):
        return self.terraform.plan(self.module, var_file=self.variables, out=self.out, env=self.env, timeout=60)

    def show(self):
        return self.terraform.show_plan(self.module, self.out, env=self.env, timeout=60)

    def apply(self, **options):
        return self.terraform.apply(self.module, self.out, env=self.env, timeout=60, grace=5, **options)


class Stopping(Unwatched):
    """Stops Terraform once a provisioner runs."""

    def __init__(self):
        self.pid = 0
        self.stop = False

    def started(self, pid, start_time):
        self.pid = pid

    def lines(self, lines):
        self.stop = self.stop or any((line.message or {}).get("type") == "provision_start" for line in lines)

    def wants_stop(self):
        return self.stop


def test_the_main_story_is_the_same_inside(sandbox, tmp_path):
    run = Story(tmp_path / "run", sandbox, MODULE)

    planned, shown, applied = run.plan(), run.show(), run.apply()
    again = run.plan()

    assert (planned.code, applied.code, again.code) == (2, 0, 0)
    assert shown["resource_changes"][0]["address"] == "terraform_data.made"
    assert json.loads((run.module / "terraform.tfstate").read_text())["resources"]
    assert '"type":"version"' in (run.module / "stdout").read_text()


def test_the_bundled_terraform_works_inside(sandbox, tmp_path):
    try:
        binary = bundled_terraform(tmp_path / "it's here")
    except UpstreamError as error:
        pytest.skip(error.message)
    run = Story(tmp_path / "run", sandbox, SLEEPER, binary=binary)
    run.plan()

    applied = run.apply(watch=Stopping())

    assert (applied.canceled, applied.succeeded) == (True, False)
    assert {block["name"] for block in json.loads((run.module / "terraform.tfstate").read_text())["resources"]} >= {
        "first"
    }


def test_a_terraform_behind_a_link_works_inside(sandbox, tmp_path):
    program = find_terraform("", tmp_path)
    (tmp_path / "opt").mkdir()
    shutil.copy(program, tmp_path / "opt/terraform-1")
    (tmp_path / "terraform").symlink_to("opt/terraform-1")

    run = Story(tmp_path / "run", sandbox, MODULE, binary=tmp_path / "terraform")

    assert run.plan().code == 2


def test_an_interrupt_reaches_terraform_and_the_end_reaches_everything(sandbox, tmp_path):
    run = Story(tmp_path / "run", sandbox, SLEEPER)
    run.plan()
    watch = Stopping()

    applied = run.apply(watch=watch)

    assert applied.first_error == "terraform apply: was stopped on request."
    assert {block["name"] for block in json.loads((run.module / "terraform.tfstate").read_text())["resources"]} >= {
        "first"
    }
    assert session_members(watch.pid) == []
    assert "sleep\x0076" not in all_commands()


def all_commands():
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_text())
        except (OSError, ValueError):
            continue
    return "\n".join(found)


def test_a_killed_terraform_is_told_as_outside(sandbox, tmp_path):
    run = Story(tmp_path / "run", sandbox, SLEEPER)
    run.plan()

    class Killing(Stopping):
        def wants_stop(self):
            if self.stop:
                os.kill(process_tree.program_of(self.pid), signal.SIGKILL)
            return False

    applied = run.apply(watch=Killing())

    assert (applied.code, applied.canceled) == (-9, False)
    assert applied.first_error == "terraform apply: was killed by signal 9."


def test_what_init_prepared_can_be_read_by_another_run(sandbox, tmp_path):
    warm = Story(tmp_path / "warm", sandbox, 'module "inner" {\n  source = "./inner"\n}\n')
    (warm.module / "inner").mkdir()
    (warm.module / "inner/main.tf").write_text(MODULE)
    previous = os.umask(0o077)
    try:
        assert warm.init().succeeded
    finally:
        os.umask(previous)
    run = Story(tmp_path / "run", sandbox, (warm.module / "main.tf").read_text())
    shutil.copytree(warm.module / "inner", run.module / "inner")
    run.env = run.terraform.environment(tmp_path / "run", data_dir=warm.module / ".terraform", extra={})

    assert (run.plan().code, run.apply().code) == (2, 0)


def test_the_state_goes_through_the_only_way_out(sandbox, tmp_path, service):
    address, asked = service
    run = Story(
        tmp_path / "run",
        sandbox,
        'terraform {\n  backend "http" {\n  }\n}\n' + MODULE,
        extra={"TF_HTTP_ADDRESS": address, "TF_HTTP_LOCK_ADDRESS": address, "TF_HTTP_UNLOCK_ADDRESS": address},
    )
    threads = threading.active_count()

    done = [run.init(), run.plan(), run.apply()]

    assert [each.succeeded for each in done] == [True] * 3, done[-1].first_error
    assert asked[-4:] == ["GET", "GET", "POST", "UNLOCK"] or "POST" in asked
    settled = threading.Event()
    for _ in range(100):
        if threading.active_count() <= threads:
            break
        settled.wait(0.02)
    assert threading.active_count() <= threads


def test_nothing_but_the_way_can_be_reached(inside, service):
    address, asked = service
    port = int(address.rpartition(":")[2])
    ask = "print IO::Socket::INET->new(q(127.0.0.1:) . $_) ? qq(open\\n) : qq(shut\\n)"
    script = f"perl -MIO::Socket::INET -e '{ask} for ({port}, {port + 1}, 22)'"

    _, with_way, _ = inside(script, way=way_to(address))
    _, without, _ = inside(script)

    assert with_way == "open\nshut\nshut\n"
    assert without == with_way + "shut\n" * 3
    assert asked == []


def test_a_name_means_the_way_inside(inside, service):
    port = int(service[0].rpartition(":")[2])

    _, said, _ = inside("cat /etc/hosts", way=Way("ops.example", port, "127.0.0.1"))

    assert said.splitlines()[1] == "127.0.0.1 ops.example"


def test_a_way_that_cannot_be_made_ends_the_program_at_once(inside, monkeypatch):
    monkeypatch.setattr(Relay, "_listen", lambda *_: (_ for _ in ()).throw(OSError("no more sockets")))

    with pytest.raises(UpstreamError, match="its way to the state cannot be made"):
        inside("sleep 77", way=Way("127.0.0.1", 1, "127.0.0.1"))


def test_a_sandbox_that_does_not_start_says_why(inside, tmp_path):
    ended, _, said = inside("true", way=Way("127.0.0.1", 1, "127.0.0.1"), fixed=[tmp_path / "missing"])

    assert ended.code == 1
    assert "missing" in said


@pytest.mark.parametrize(
    ("url", "way"),
    [
        ("http://127.0.0.1:5000/x", Way("127.0.0.1", 5000, "127.0.0.1")),
        ("http://127.0.0.7/x", Way("127.0.0.7", 80, "127.0.0.7")),
        ("https://ops.example/terraform", Way("ops.example", 443, "127.0.0.1")),
        ("http://10.0.0.5:5000/x", None),
        ("http://[::1]:5000/x", None),
    ],
)
def test_the_way_follows_from_the_address(url, way):
    assert way_to(url) == way


@pytest.mark.parametrize(
    ("extra", "network", "way"),
    [
        ({}, False, False),
        ({"TF_HTTP_ADDRESS": "http://127.0.0.1:5000/x", "TF_HTTP_PASSWORD": "x"}, False, True),
        ({"TF_HTTP_ADDRESS": "http://10.0.0.5:5000/x"}, True, False),
        ({"ALICLOUD_ACCESS_KEY": "x"}, True, False),
        ({"ALICLOUD_ACCESS_KEY": "x", "TF_HTTP_ADDRESS": "http://127.0.0.1:5000/x"}, True, False),
    ],
)
def test_only_credentials_bring_the_network(tmp_path, extra, network, way):
    terraform = Terraform(find_terraform("", tmp_path))
    env = terraform.environment(tmp_path, data_dir=None, extra=extra)
    runner = Runner(terraform.binary, Sandbox("off"), mirror=None, limits=Limits())

    box = runner._box(Work(["terraform"], tmp_path, env, 1), tmp_path, tmp_path)

    assert (box.network, box.way is not None) == (network, way)


def test_with_credentials_the_host_is_reached(inside, service):
    port = service[0].rpartition(":")[2]

    ended, _, _ = inside(f"perl -MIO::Socket::INET -e 'exit !IO::Socket::INET->new(q(127.0.0.1:{port}))'", network=True)

    assert ended.code == 0


def test_without_bubblewrap_it_is_not_in_force_and_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")

    assert Sandbox("auto").kind is None
    assert Sandbox("auto").report()[0] is None
    assert "bubblewrap is not installed; install bubblewrap 0.8" in Sandbox("required").report()[1]
    assert Sandbox("required").report()[0] is False


def test_a_bubblewrap_that_does_not_work_is_not_used(monkeypatch, tmp_path):
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions to create a namespace' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    found = Sandbox("required")

    assert found.kind is None
    assert "No permissions to create a namespace" in found.report()[1]


def test_one_that_is_off_is_not_looked_for():
    found = Sandbox("off")

    assert found.kind is None
    assert found.report()[0] is None
    assert "OPS_SANDBOX is off" in found.report()[1]


def test_a_required_sandbox_that_is_missing_refuses_every_run(tmp_path, monkeypatch):
    run = Story(tmp_path / "run", Sandbox("required"), MODULE)
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(UpstreamError, match="OPS_SANDBOX requires a sandbox: bubblewrap is not installed"):
        run.plan()
    assert run.terraform.version()  # it runs nothing of a module


def test_an_optional_sandbox_that_is_missing_leaves_the_limits(tmp_path, monkeypatch):
    run = Story(tmp_path / "run", Sandbox("auto"), SLEEPER.replace("setsid sleep 76 & sleep 76", "ulimit -n"))
    monkeypatch.setenv("PATH", "/nowhere")
    run.plan()

    applied = run.apply()

    assert applied.succeeded
    assert "4096" in (run.module / "stdout").read_text()


def test_what_cannot_be_told_of_a_machine_is_not_filtered(monkeypatch, inside):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")

    assert sandbox_syscalls.call_filter(links=False) == b""
    if os.geteuid() == 0:
        ended, _, _ = inside("ln -s a b && true")
        assert ended.code == 0


@pytest.mark.parametrize(("links", "code"), [(True, 0), (False, 1)])
def test_links_are_made_only_by_init(inside, links, code):
    ended, _, _ = inside("ln -s a b", links=links)

    assert ended.code == code


def test_an_unknown_way_to_call_the_kernel_kills(inside):
    if platform.machine() != "x86_64":
        pytest.skip("there is one way only on this machine")

    _, said, _ = inside("perl -e 'syscall(0x40000000 + 39)'; echo $?")

    assert said.split()[-1] == str(128 + signal.SIGSYS)


def test_a_folder_is_tidied_of_what_could_mislead(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".terraform").mkdir()
    (tmp_path / ".terraform/provider").symlink_to("/mirror")
    (tmp_path / "shell").write_text("x")
    (tmp_path / "shell").chmod(0o4755)
    (tmp_path / "made").touch()

    tidy([tmp_path], [tmp_path / "made"])

    assert sorted(path.name for path in tmp_path.rglob("*")) == [".terraform", "provider", "shell", "sub"]
    assert (tmp_path / "shell").stat().st_mode & 0o7777 == 0o755


def test_what_is_opened_can_be_read_by_all_and_written_by_none_more(tmp_path):
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "folder/program").touch(mode=0o700)
    (tmp_path / "folder/text").touch(mode=0o600)
    (tmp_path / "folder/link").symlink_to(tmp_path / "folder/text")

    open_to_all(tmp_path / "folder")

    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "folder").iterdir()}
    assert modes == {"program": 0o755, "text": 0o644, "link": 0o644}


def test_two_folders_have_two_users_and_a_missing_one_is_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    assert user_of(tmp_path / "a") != user_of(tmp_path / "b")
    with pytest.raises(UpstreamError, match="missing: cannot be used"):
        user_of(tmp_path / "missing")


@pytest.mark.parametrize(
    ("script", "limits", "said"),
    [
        ("sleep 9 & sleep 9 & sleep 9 & wait", Limits(processes=2), "ran more than 2 processes"),
        ("head -c 9000000 /dev/zero > a; sleep 9", Limits(disk_bytes=8 << 20), "wrote more than 8 MB into its folder"),
        (f"{HUNGRY} & {HUNGRY}", Limits(memory_bytes=64 << 20), "used more memory than 64 MB"),
    ],
)
def test_without_a_sandbox_what_all_processes_use_is_counted_too(tmp_path, monkeypatch, script, limits, said):
    monkeypatch.setattr(process_stop, "SECOND_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(process, "EXCESS_GRACE_SECONDS", 0.1)
    job = Job("shell", ["/bin/sh", "-c", script], tmp_path, {"PATH": "/usr/bin:/bin"}, tmp_path, 30, 1, limits=limits)

    ended = process.run(job, Unwatched())

    assert ended.excess == said
    assert ended.code != 0


def test_what_goes_far_beyond_is_killed_without_being_asked(tmp_path):
    script = "trap '' INT; head -c 9000000 /dev/zero > a; sleep 30"
    limits = Limits(disk_bytes=1 << 20)
    job = Job("shell", ["/bin/sh", "-c", script], tmp_path, {"PATH": "/usr/bin:/bin"}, tmp_path, 30, 1, limits=limits)

    ended = process.run(job, Unwatched())

    assert (ended.code, ended.excess) == (-9, "wrote more than 1 MB into its folder")


def test_too_many_files_are_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr(process_limits, "MOST_FILES", 3)
    monkeypatch.setattr(process_limits, "LOOK_SECONDS", 0)
    for number in range(5):
        (tmp_path / str(number)).touch()
    meter = Meter(os.getpid(), (tmp_path, tmp_path / "gone"), Limits(processes=100_000, memory_bytes=1 << 40))

    assert meter.excess() == "made more than 3 files"
    assert meter.far


def test_where_there_is_no_prlimit_the_command_stays_as_it_is(monkeypatch):
    process_limits._prlimit.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda *_args, **_options: None)

    assert Limits().prefix(own_user=True) == []
    process_limits._prlimit.cache_clear()


def test_the_kernel_is_told_every_limit():
    words = Limits(cpu_seconds=1, memory_bytes=2, disk_bytes=3, processes=4, open_files=5).prefix(own_user=True)

    assert words[1:] == ["--cpu=1", "--data=2", "--fsize=3", "--nofile=5", "--core=0", "--nproc=4", "--"]
    assert "--nproc=4" not in Limits(processes=4).prefix(own_user=False)


def test_a_program_without_a_sandbox_is_its_own():
    child = subprocess.Popen(["sleep", "78"], start_new_session=True)

    found = process_tree.program_of(child.pid), process_tree.first_inside(child.pid)
    child.kill()
    child.wait()

    assert found == (child.pid, None)
    assert process_tree.program_of(child.pid) == child.pid


@pytest.mark.parametrize(
    ("settings", "ok", "text"),
    [
        ({"ops_sandbox": "off"}, None, "OPS_SANDBOX is off"),
        ({"ops_sandbox": "off", "ops_env": "production"}, False, "in production set OPS_SANDBOX=required"),
        ({"terraform_bin": "/nowhere/terraform"}, None, "once there is a Terraform"),
    ],
)
def test_the_doctor_says_what_is_in_force(make_config, clean_up, settings, ok, text):
    app = clean_up(create_app(make_config(**settings)))

    with app.app_context():
        finding = next(each for each in doctor.examine() if each.part == "sandbox")

    assert finding.ok is ok
    assert text in finding.text
