"""A small application with only the states in it, and a real server for Terraform to talk to."""

import json
import threading
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from opsplatform.adapters.terraform import Terraform, find_terraform
from opsplatform.core.db import init_db, transaction
from opsplatform.states import service, views


@pytest.fixture
def states_app(make_config, database_url, clean_up):
    app = clean_up(Flask("states"))
    app.extensions["settings"] = make_config()
    app.config["MAX_CONTENT_LENGTH"] = 1 << 20
    init_db(app, database_url)
    views.register(app)
    return app


@pytest.fixture
def context(states_app):
    with states_app.app_context():
        yield


@pytest.fixture
def make_state():
    def make(serial=1, lineage="one", resources=(), outputs=None):
        state = {"version": 4, "serial": serial, "lineage": lineage, "resources": resources, "outputs": outputs or {}}
        return json.dumps(state).encode()

    return make


@pytest.fixture
def held(states_app):
    """Workspace `web`, held by run 7 under fence 3; the answer is its credential."""
    with states_app.app_context():
        with transaction():
            service.open_workspace("web", module="demo-server", environment="test")
            service.hold("web", 7, fence=3)
        return ("7", service.state_credential("web", 7, 3))


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log(self, *_args):
        pass


@pytest.fixture
def server(states_app):
    """The application behind a real socket; the answer is its address."""
    running = make_server("127.0.0.1", 0, states_app, threaded=True, request_handler=Quiet)
    running.daemon_threads = False
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{running.port}"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture(scope="session")
def terraform(tmp_path_factory):
    return Terraform(find_terraform("", tmp_path_factory.mktemp("engine")))


@pytest.fixture
def http_run(terraform, tmp_path, server, held):
    """A run folder whose state lives at the server."""

    def begin(text, credential=held, name="run"):
        return HttpRun(terraform, tmp_path / name, text, server, credential)

    return begin


class HttpRun:
    """A run with the http backend."""

    def __init__(self, terraform: Terraform, root: Path, text: str, server: str, credential: tuple[str, str]):
        self.terraform = terraform
        self.folder = root / "module"
        self.folder.mkdir(parents=True)
        (self.folder / "main.tf").write_text('terraform {\n  backend "http" {}\n}\n' + text)
        self.variables = root / "variables.tfvars.json"
        self.variables.write_text("{}")
        self.out = root / "plan.bin"
        address = f"{server}/terraform/state/web"
        extra = {f"TF_HTTP_{name}ADDRESS": address for name in ("", "LOCK_", "UNLOCK_")}
        extra |= {"TF_HTTP_USERNAME": credential[0], "TF_HTTP_PASSWORD": credential[1], "TF_HTTP_RETRY_MAX": "0"}
        self.env = terraform.environment(root, data_dir=None, extra=extra)

    def init(self):
        return self.terraform.init(self.folder, env=self.env, timeout=60)

    def plan(self, **options):
        return self.terraform.plan(
            self.folder, var_file=self.variables, out=self.out, env=self.env, timeout=60, **options
        )

    def apply(self, **options):
        return self.terraform.apply(self.folder, self.out, env=self.env, timeout=60, grace=5, **options)
