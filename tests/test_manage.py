"""The admin's commands, as an admin starts them: help, success, and one plain sentence when something is wrong."""

import io
import logging
import os
import signal
import subprocess
import sys
import threading

import click
import pytest

import manage
from opsplatform import doctor
from opsplatform.adapters.dingtalk_crypto import EventCrypto
from opsplatform.adapters.fleet import Fleet, free_port, stopped_by_signal
from opsplatform.app import create_app
from opsplatform.core.db import db
from opsplatform.core.errors import UpstreamError
from opsplatform.simulator import seed
from opsplatform.simulator.server import create_simulator, running
from tests.support import ROOT, SECRETS

PASSWORD = "correct horse battery staple"
POPEN = subprocess.Popen
AWAY = "The database does not answer; try again."


class Ended:
    """What a command said and how it ended."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def sentence(self):
        """The one line on standard error of a command that did not succeed."""
        return assert_one_sentence(self.code, self.err)


def environment(settings):
    """The environment variables of a command: nothing is set but what the test sets."""
    bare = dict.fromkeys(["database_url", "broker_url", "terraform_bin", "dingtalk_token", "dingtalk_aes_key"], "")
    wanted = {"ops_env": "testing", "ops_log_level": "ERROR", **SECRETS, **bare, **settings}
    return {name.upper(): str(value) for name, value in wanted.items()}


def run(*words, given="", **settings):
    """Run `manage.py` in a process of its own."""
    env = {**os.environ, **environment(settings)}
    command = [sys.executable, "manage.py", *words]
    done = subprocess.run(
        command, cwd=ROOT, env=env, input=given, capture_output=True, text=True, timeout=90, check=False
    )
    return Ended(done)


def commands():
    """Every command as the words that call it, groups and what is in them."""
    context = click.Context(manage.cli)
    for name in manage.cli.list_commands(context):
        yield (name,)
        command = manage.cli.get_command(context, name)
        if isinstance(command, click.Group):
            yield from ((name, inner) for inner in command.list_commands(context))


@pytest.fixture
def call(monkeypatch, capsys):
    """Run a command in this process: what it ends with and what it said."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def start(*words, given="", **settings):
        for name, value in environment(settings).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["manage.py", *words])
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        with pytest.raises(SystemExit) as ended:
            manage.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    yield start
    root.handlers[:] = handlers
    root.setLevel(level)


def assert_one_sentence(code, err):
    """The one line on standard error of a command that did not succeed."""
    (line,) = err.strip().splitlines()
    assert code not in {0, None}
    return line


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A data folder on which `db upgrade` was run."""
    folder = tmp_path_factory.mktemp("installed") / "data"
    done = run("db", "upgrade", ops_data_dir=folder)
    assert done.code == 0, done.err
    return folder


@pytest.mark.parametrize("words", [(), *commands()], ids=" ".join)
def test_every_command_has_a_help_that_says_what_it_does(call, words):
    code, out, _err = call(*words, "--help")

    assert code == 0
    assert "Usage: " in out


@pytest.mark.parametrize("name", manage.cli.list_commands(click.Context(manage.cli)))
def test_help_needs_no_settings(call, name):
    assert call(name, "--help", ops_env="production", secret_key="")[0] == 0


def test_help_in_a_process_of_its_own_lists_the_commands():
    done = run("--help")

    assert done.code == 0
    assert all(each[0] in done.out for each in commands())


def test_a_command_nobody_knows_is_refused(call):
    code, _out, err = call("fly")

    assert code != 0
    assert "No such command 'fly'" in err


def test_a_fresh_folder_becomes_a_database_with_an_admin_in_it(installed):
    made = run("create-admin", "admin", "--password-stdin", given=f"{PASSWORD}\n", ops_data_dir=installed)
    again = run("create-admin", "admin", "--password-stdin", given=f"{PASSWORD}\n", ops_data_dir=installed)

    assert (made.code, made.out) == (0, "admin may do everything now.\n")
    assert again.sentence
    assert PASSWORD not in made.out + again.out + again.err


@pytest.mark.parametrize(
    ("username", "password"), [("joe", "short"), ("joe", ""), ("", PASSWORD), ("a b\x07", PASSWORD)]
)
def test_an_admin_that_cannot_be_is_refused_with_the_reason(call, installed, username, password):
    given = f"{password}\n"

    code, _out, err = call("create-admin", username, "--password-stdin", given=given, ops_data_dir=installed)

    assert_one_sentence(code, err)


def test_doctor_finds_a_fresh_installation_well(installed):
    done = run("doctor", ops_data_dir=installed, dingtalk_app_key="")

    assert done.code == 0, done.out
    lines = dict(line[5:].split(": ", 1) for line in done.out.splitlines())
    assert set(lines) >= {"settings", "database", "migrations", "queue", "terraform", "modules", "dingtalk"}
    assert "demo-server" in lines["modules"]
    assert "set DINGTALK_APP_KEY" in lines["dingtalk"]


def test_doctor_names_what_is_wrong_and_what_to_do(tmp_path):
    done = run("doctor", ops_data_dir=tmp_path / "data", terraform_bin="/no/terraform", terraform_modules_dir=tmp_path)

    assert done.sentence == "Something is wrong; mend the first line that says FAIL and look again."
    assert "FAIL migrations: the database is not at the newest migration; run: python manage.py db upgrade" in done.out
    assert "FAIL terraform: " in done.out
    assert "FAIL modules: can be looked at once the database is ready" in done.out


def test_module_list_names_every_offer(installed):
    done = run("module", "list", ops_data_dir=installed)

    assert done.code == 0, done.err
    assert all(name in done.out for name in ("demo-server", "demo-fleet", "aliyun-ecs"))


def test_module_list_without_a_database_says_what_to_do(call, tmp_path):
    code, _out, err = call("module", "list", ops_data_dir=tmp_path / "data")

    assert code != 0
    assert "run manage.py db upgrade" in err


def test_module_check_describes_a_good_offer(call, installed):
    code, out, _err = call("module", "check", "demo-server", ops_data_dir=installed)

    assert code == 0
    assert "demo-server" in out


@pytest.mark.parametrize("text", ["resource {", None])
def test_module_check_says_what_is_wrong_with_a_bad_one(call, installed, tmp_path, text):
    if text is not None:
        (tmp_path / "main.tf").write_text(text)

    code, _out, err = call("module", "check", str(tmp_path), ops_data_dir=installed)

    assert code != 0
    assert err.startswith("Error: ")


def test_module_check_of_a_module_that_does_not_exist_says_so(call, installed):
    code, _out, err = call("module", "check", "nowhere", ops_data_dir=installed)

    assert code != 0
    assert "There is no module and no folder nowhere." in err


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"ops_env": "production", "secret_key": "dev"}, "SECRET_KEY must be a random text of at least 32 characters"),
        ({"port": "abc"}, "PORT: "),
        ({"broker_url": "amqp://x"}, "BROKER_URL must be empty"),
        ({"database_url": "oracle://x"}, "DATABASE_URL must begin with"),
        ({"dingtalk_aes_key": "short"}, "DINGTALK_AES_KEY must be"),
        ({"ops_data_dir": "/dev/null/data"}, "OPS_DATA_DIR: "),
        ({"database_url": "postgresql+psycopg://nobody@127.0.0.1:1/x"}, "The database cannot be used ("),
        ({}, "The database cannot be used (no such table: "),
    ],
)
def test_a_setting_that_is_wrong_ends_in_one_sentence(call, tmp_path, settings, sentence):
    where = {"ops_data_dir": tmp_path / "data", **settings}

    code, _out, err = call("create-admin", "joe", "--password-stdin", given=f"{PASSWORD}\n", **where)

    assert sentence in assert_one_sentence(code, err)


def test_a_setting_that_is_wrong_ends_a_process_with_one_sentence_and_no_traceback():
    assert "PORT: " in run("doctor", port="abc").sentence


@pytest.mark.parametrize("command", ["run", "worker", "scheduler", "simulator"])
def test_nothing_starts_on_wrong_settings(call, command):
    code, _out, err = call(command, port="0")

    assert "PORT: " in assert_one_sentence(code, err)


def test_demo_takes_no_port_that_is_none(call):
    assert call("demo", "--port", "0")[0] != 0


class TestDoctor:
    """What the check-up looks at, one by one."""

    @pytest.fixture
    def findings(self, make_config, clean_up):
        def look(**settings):
            with clean_up(create_app(make_config(**settings))).app_context():
                return {finding.part: (finding.ok, finding.text) for finding in doctor.examine()}

        return look

    def test_a_broker_that_is_away_is_named(self, findings):
        found = findings(broker_url="redis://127.0.0.1:1/0")

        assert found["queue"] == (False, "the queue does not answer (ConnectionError)")

    @pytest.mark.server("redis")
    def test_a_broker_that_answers_is_named(self, findings):
        assert findings(broker_url="redis://127.0.0.1:6379/15")["queue"] == (True, "redis queue answers")

    def test_a_catalogue_without_modules_or_with_a_broken_one_is_named(self, findings, tmp_path):
        modules = tmp_path / "modules"
        modules.mkdir()
        empty = findings(terraform_modules_dir=modules)["modules"]
        (modules / "broken").mkdir()
        (modules / "broken" / "main.tf").write_text("resource {")

        ok, text = findings(terraform_modules_dir=modules)["modules"]

        assert empty == (False, "none; set TERRAFORM_MODULES_DIR")
        assert (ok, "broken: " in text) == (False, True)

    def test_a_dingtalk_that_refuses_or_is_away_is_named(self, findings):
        away = {"dingtalk_api_url": "http://127.0.0.1:1", "dingtalk_oapi_url": "http://127.0.0.1:1"}

        ok, text = findings(dingtalk_app_key="key", dingtalk_app_secret="secret", **away)["dingtalk"]

        assert ok is False
        assert "accessToken" in text

    def test_a_dingtalk_that_accepts_us_is_named(self, findings):
        with running(create_simulator()) as url:
            found = findings(
                dingtalk_app_key=seed.APP_KEY,
                dingtalk_app_secret=seed.APP_SECRET,
                dingtalk_token=seed.CALLBACK_TOKEN,
                dingtalk_aes_key=seed.CALLBACK_AES_KEY,
                dingtalk_api_url=url,
                dingtalk_oapi_url=url,
            )

        assert found["dingtalk"] == (True, f"{url} accepts our app key and secret")
        assert found["dingtalk events"] == (True, "pushed to http://127.0.0.1:5000/dingtalk/callback are accepted")

    def test_a_terraform_that_is_not_there_is_named(self, findings):
        found = findings(terraform_bin="/no/terraform")

        assert found["terraform"][0] is False
        assert "/no/terraform" in found["terraform"][1]


class TestTheApplication:
    """What `create_app` puts together."""

    def test_every_answer_carries_the_headers_that_protect_a_browser(self, make_config, clean_up):
        client = clean_up(create_app(make_config())).test_client()

        for path in ("/healthz", "/nothing"):
            headers = client.get(path).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Cache-Control"] == "no-store"

    def test_a_terraform_is_looked_for_only_when_it_is_needed_and_its_absence_named(self, make_config, clean_up):
        app = clean_up(create_app(make_config(terraform_bin="/no/terraform")))

        with pytest.raises(UpstreamError, match="/no/terraform"):
            _ = app.extensions["adapters"].terraform

    def test_a_database_that_is_away_is_said_plainly_and_the_event_comes_again(self, make_config, clean_up):
        keys = {"token": seed.CALLBACK_TOKEN, "aes_key": seed.CALLBACK_AES_KEY}
        secrets = {f"dingtalk_{name}": value for name, value in keys.items()}
        away = "postgresql+psycopg://nobody@127.0.0.1:1/x"
        config = make_config(database_url=away, dingtalk_app_key=seed.APP_KEY, **secrets)
        fields = EventCrypto(*keys.values(), [seed.APP_KEY]).answer(seed.APP_KEY, '{"EventType": "x"}')
        query = {"signature": fields["msg_signature"], "timestamp": fields["timeStamp"], "nonce": fields["nonce"]}
        client = clean_up(create_app(config)).test_client()

        response = client.post("/dingtalk/callback", query_string=query, json={"encrypt": fields["encrypt"]})

        assert (response.status_code, response.get_json()) == (503, {"error": AWAY})

    def test_gunicorn_finds_the_application(self, make_config, monkeypatch):
        config = make_config()
        for name, value in (
            ("OPS_ENV", "testing"),
            ("OPS_DATA_DIR", config.data_dir),
            ("DATABASE_URL", config.database),
        ):
            monkeypatch.setenv(name, str(value))

        from opsplatform import wsgi

        with wsgi.app.app_context():
            assert wsgi.app.test_client().get("/healthz").status_code == 200
            db.engine.dispose()


class TestAFleet:
    """Processes that live and end together."""

    @pytest.fixture
    def fleet(self, tmp_path):
        made = Fleet(tmp_path)
        yield made
        made.stop()

    @staticmethod
    def python(text):
        return [sys.executable, "-c", text]

    def test_one_that_ends_by_itself_takes_the_others_with_it(self, fleet):
        fleet.start("long", self.python("import time; time.sleep(60)"))
        fleet.start("short", self.python("raise SystemExit(3)"))

        assert fleet.watch(threading.Event()) == 3

        assert fleet.wait("long", 5) == -signal.SIGTERM

    def test_one_that_ends_well_by_itself_is_a_failure_too(self, fleet):
        fleet.start("short", self.python(""))

        assert fleet.watch(threading.Event()) == 1

    def test_all_are_stopped_on_demand(self, fleet):
        fleet.start("long", self.python("import time; time.sleep(60)"))
        stop = threading.Event()
        stop.set()

        assert fleet.watch(stop) == 0

        assert fleet.wait("long", 5) == -signal.SIGTERM

    def test_one_that_does_not_stop_is_killed(self, fleet, monkeypatch):
        monkeypatch.setattr("opsplatform.adapters.fleet.STOP_SECONDS", 0.3)
        ready, told = os.pipe()
        text = f"import os, signal, time; signal.signal(15, signal.SIG_IGN); os.write({told}, b'1'); time.sleep(60)"
        os.set_inheritable(told, True)
        monkeypatch.setattr("subprocess.Popen", lambda *words, **more: POPEN(*words, **{**more, "pass_fds": [told]}))
        fleet.start("deaf", self.python(text))
        os.read(ready, 1)

        fleet.stop()

        assert fleet.wait("deaf", 5) == -signal.SIGKILL
        os.close(ready)
        os.close(told)

    def test_one_that_ended_is_noticed_by_name(self, fleet):
        fleet.start("short", self.python("raise SystemExit(4)"))
        fleet.wait("short", 10)

        with pytest.raises(UpstreamError, match="the process short ended with code 4"):
            fleet.check()

    def test_one_that_does_not_end_in_time_is_named(self, fleet):
        fleet.start("long", self.python("import time; time.sleep(60)"))
        fleet.check()

        with pytest.raises(UpstreamError, match="long did not end within"):
            fleet.wait("long", 0.05)
        assert fleet.stop_one("long") == -signal.SIGTERM
        assert set(fleet.pids()) == {"long"}

    def test_a_command_runs_to_its_end_or_is_named(self, fleet):
        fleet.call(self.python("import sys; sys.exit(sys.stdin.read() != 'given')"), given="given")

        with pytest.raises(UpstreamError, match="ended with code 5"):
            fleet.call(self.python("raise SystemExit(5)"))

    def test_a_free_port_can_be_listened_on(self):
        assert 1024 <= free_port() <= 65535

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_sets_the_event(self, number):
        before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            stop = stopped_by_signal()
            os.kill(os.getpid(), number)

            assert stop.wait(5)
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
