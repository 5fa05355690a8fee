"""A thousand secrets go in through every entrance; nowhere do they lie in clear.

The share of CI hands in a hundred. `OPS_CHAOS=full` hands in a thousand.
"""

import base64
import contextlib
import gzip
import io
import json
import logging
import os
import re
import shutil
import signal
import zlib
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from opsplatform.backup import backup
from opsplatform.core import logs
from opsplatform.core.db import db
from opsplatform.runs import files
from opsplatform.runs.models import RunFile
from opsplatform.states import service as states
from tests.chaos.canaries import AROUND, Canaries, contents, spelled, unpacked
from tests.flows.conftest import PASSWORD, a_stack, house, modules, wait_for
from tests.readings import all_answers

__all__ = ["house", "modules"]

MANY = 1000 if os.environ.get("OPS_CHAOS") == "full" else 100
VAULT = Path(__file__).parent / "vault"
NOT_SECRET_HERE = {"database_url", "broker_url"}  # their password is the name of the test database
FORM = [
    {"id": "TextField-name", "label": "名称", "type": "TextField", "required": True},
    {"id": "TextField-mode", "label": "方式", "type": "TextField", "required": True},
    {"id": "NumberField-copies", "label": "数量", "type": "NumberField", "required": True},
    {"id": "TextareaField-password", "label": "密码", "type": "TextareaField"},
    {"id": "TextField-pin", "label": "口令", "type": "TextField"},
    {
        "id": "TableField-entries",
        "label": "密钥",
        "type": "TableField",
        "children": [
            {"id": "TextField-entry", "label": "键", "type": "TextField"},
            {"id": "TextareaField-entry", "label": "值", "type": "TextareaField"},
        ],
    },
    {
        "id": "TableField-accounts",
        "label": "账号",
        "type": "TableField",
        "children": [
            {"id": "TextField-user", "label": "用户", "type": "TextField"},
            {"id": "TextareaField-key", "label": "密匙", "type": "TextareaField"},
        ],
    },
]


@pytest.fixture
def canaries():
    return Canaries()


@pytest.fixture
def credentials(canaries, tmp_path_factory, monkeypatch):
    """The provider credentials of the environment `demo`: a file the admin wrote, in clear, outside the data folder."""
    path = tmp_path_factory.mktemp("admin") / "demo.env"
    lines = [f"SECRET_{n}={canaries.new('provider credentials', plain=True)}" for n in range(share(10))]
    path.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("TERRAFORM_ENV_DEMO", str(path))
    return path


@pytest.fixture
def vault(modules):
    """The catalogue with a module that takes secrets of every shape."""
    shutil.copytree(VAULT, modules / "vault")


@pytest.fixture
def log_text():
    """Everything that is logged, in full detail; set up once the application is there."""
    stream = io.StringIO()

    def begin():
        logs.set_up_logs("DEBUG", "json")
        logging.getLogger().handlers[0].setStream(stream)
        return stream

    yield begin
    logs.set_up_logs("ERROR", "text")


@pytest.fixture
def answered(house, monkeypatch):
    """Every answer the API gives, with its method."""
    taken = []
    answer = house.api.answer

    def remember(method, **params):
        taken.append((method, answer(method, **params)))
        return taken[-1][1]

    monkeypatch.setattr(house.api, "answer", remember)
    return taken


def share(percent):
    """This part of the canaries."""
    return max(2, MANY * percent // 100)


def secret_form(canaries, entrance, *, entries=1, mode="fine", copies=1):
    """A form of the vault filled with secrets."""

    def new():
        return canaries.new(entrance)

    return {
        "名称": "vault",
        "方式": mode,
        "数量": copies,
        "密码": new(),
        "密钥": [{"键": f"k{n}", "值": new()} for n in range(entries)],
        "账号": [{"用户": "u", "密匙": new()}],
    }


# --- the search itself ---


@pytest.mark.parametrize("number", range(len(AROUND)))
def test_the_search_finds_a_secret_however_it_is_spelled(canaries, number):
    secret = [canaries.new("here") for _ in range(number + 1)][-1]
    raw = secret.encode()
    spellings = [text for name, text in spelled(secret) if not name.startswith("base64")]
    spellings += [base64.b64encode(b"x" * shift + raw) for shift in range(3)]
    spellings += [base64.urlsafe_b64encode(b"\xff" * shift + raw + b"yy") for shift in range(3)]
    spellings += [json.dumps(secret).encode(), json.dumps(secret, ensure_ascii=False).encode()]
    spellings += ["".join(f"%{byte:02X}" for byte in raw).encode(), zlib.compress(raw), gzip.compress(raw)]

    for spelling in spellings:
        found = [canaries.search(content) for content in unpacked(spelling)]
        assert {"here"} in [set(each) for each in found], spelling
        assert canaries.search(b"\x00 " + found_in(spelling) + b" \xff").keys() == {"here"}, spelling


def found_in(spelling):
    """The innermost content."""
    return list(unpacked(spelling))[-1]


def test_the_search_finds_what_was_not_chosen_and_nothing_else(canaries):
    canaries.know("token", "eyJ1IjoxfQ.abc")
    canaries.new("form")

    assert canaries.search(b"x" + base64.b64encode(b"?eyJ1IjoxfQ.abc?")).keys() == {"token"}
    assert canaries.search(b"cAnArY00000aaaaaaaa cAnArY eyJ1IjoxfQ") == {}


# --- every entrance, every place ---


def test_no_secret_lies_in_clear_anywhere(
    house, vault, credentials, canaries, answered, log_text, tmp_path, monkeypatch
):
    written = log_text()
    know_what_was_not_chosen(house, canaries, monkeypatch)

    use_every_entrance(house, canaries)
    with house.context():
        backup(tmp_path / "backup.tar")
        sealed = opened_again()
    all_answers(house.api)

    assert set(canaries.search(sealed)) >= FORMS  # they did get in
    assert '"message": "call refused"' in written.getvalue()
    leaks = {
        where: found
        for where, content in every_place(house, answered, written, tmp_path)
        if (found := canaries.search(content))
    }
    print(f"{len(canaries.entrance_of) + len(canaries.others)} secrets went in, {len(leaks)} places hold one in clear")
    assert leaks == {}


FORMS = {"form", "form of many resources", "form that fails", "form not agreed to", "approval.create", "revealed"}


def know_what_was_not_chosen(house, canaries, monkeypatch):
    """The secrets of the settings, and those the platform makes while it works."""
    config = house.app.extensions["settings"]
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, SecretStr) and value.get_secret_value() and name not in NOT_SECRET_HERE:
            canaries.know(f"setting {name}", value.get_secret_value())
    for key in config.sealing_keys.values():
        canaries.know("seal key", key.decode("ascii"))
    canaries.know("password", PASSWORD)
    canaries.know("token", house.api.token)
    make = states.state_credential

    def make_known(*where):
        credential = make(*where)
        canaries.know("state credential", credential)
        return credential

    monkeypatch.setattr(states, "state_credential", make_known)


def use_every_entrance(house, canaries):
    house.simulator.add_template("保险箱", FORM, process_code="PROC-VAULT")
    house.api.call("user.bind_dingtalk", username="admin", dingtalk_userid="zhangsan")
    fill_in_forms(house, canaries)
    create_by_call(house, canaries)
    use_passwords(house, canaries)
    use_tokens(house, canaries)
    make_mistakes(house, canaries)
    canaries.know("access token of DingTalk", house.app.extensions["adapters"].dingtalk._token.get())


def fill_in_forms(house, canaries):
    agreed = [fill_in(house, secret_form(canaries, "form", entries=18)) for _ in range(share(40) // 20)]
    agreed.append(fill_in(house, secret_form(canaries, "form of many resources", copies=101)))
    agreed.append(fill_in(house, secret_form(canaries, "form that fails", entries=share(5), mode="fails-in-plan")))
    agreed.append(fill_in(house, secret_form(canaries, "form that fails", entries=share(5), mode="fails-in-apply")))
    refused, _waiting = (
        fill_in(house, secret_form(canaries, "form not agreed to", entries=share(3))) for _ in range(2)
    )
    for _ in range(3):
        fill_in(
            house, {**secret_form(canaries, "form that does not fit"), "口令": canaries.new("form that does not fit")}
        )
    revealed = fill_in(house, secret_form(canaries, "revealed"))
    house.work()
    for instance_id in (*agreed, revealed):
        house.simulator.agree(instance_id)
    house.simulator.refuse(refused)
    house.simulator.settle()
    ends = [ended(house, instance_id)["status"] for instance_id in (*agreed, revealed)][:-1]
    assert ends == ["applied"] * (len(agreed) - 2) + ["errored"] * 2
    run_id = house.api.run_of(revealed)["id"]
    shown = house.api.call("run.reveal_output", id=run_id, name="login", reason="a test", request_id="reveal-1")
    assert "cAnArY" in shown["value"]


def ended(house, instance_id):
    """The run of an approval, once it has ended."""

    def look():
        house.sweep()
        run = house.api.run_of(instance_id)
        return run if run["finished_at"] else None

    return wait_for(look, "the run to end")


def fill_in(house, values):
    return house.simulator.submit("PROC-VAULT", "zhangsan", values)


def create_by_call(house, canaries):
    entrance = "approval.create"
    values = {
        "name": "vault",
        "mode": "fine",
        "copies": 1,
        "password": canaries.new(entrance),
        "entries": {f"k{n}": canaries.new(entrance) for n in range(share(5))},
        "accounts": [{"user": "u", "key": canaries.new(entrance)}],
    }
    made = house.api.call("approval.create", module="vault", variables=values, request_id="create-1")
    house.api.error("approval.create", module="vault", variables={**values, "copies": canaries.new("wrong variable")})
    house.simulator.settle()
    house.work()
    house.agree(made["instance_id"])
    assert ended(house, made["instance_id"])["status"] == "applied"


def use_passwords(house, canaries):
    for n in range(min(share(5), 40)):
        password, wrong, fresh = (canaries.new(f"{kind} password") for kind in ("good", "wrong", "fresh"))
        house.api.call("user.register", username=f"user{n}", password=password, request_id=f"request-{n}")
        house.api.call("user.verify", username=f"user{n}", password=wrong)
        admin, house.api.token = house.api.token, ""
        house.api.log_in(f"user{n}", password)
        house.api.call("user.change_password", old_password=wrong, new_password=fresh)
        house.api.answer("user.change_password", old_password=password, new_password=fresh)
        house.api.token = admin


def use_tokens(house, canaries):
    """Tokens that were given out, and tokens that somebody made up."""
    opened = house.api.call("user.verify", username="admin", password=PASSWORD)
    canaries.know("token", opened["token"])
    canaries.know("refresh token", opened["refresh_token"].partition(".")[2])
    fresh = house.api.call("sso.refresh", refresh_token=opened["refresh_token"])
    canaries.know("refresh token", fresh["refresh_token"].partition(".")[2])
    house.api.error("sso.refresh", refresh_token=opened["refresh_token"])
    for _ in range(share(2)):
        house.api.error("sso.refresh", refresh_token=canaries.new("made-up token"))
        admin, house.api.token = house.api.token, canaries.new("made-up token", plain=True)
        house.api.error("user.me")
        house.api.token = ""
        house.api.error("user.me", token=canaries.new("made-up token"))
        house.api.token = admin
        secret = canaries.new("made-up token", plain=True)
        login = base64.b64encode(f"1:{secret}".encode()).decode()
        raw(house, "PUT", "/terraform/state/vault-1", b"{}", Authorization=f"Basic {login}")
        raw(house, "POST", f"/dingtalk/callback?signature={secret}&timestamp=1&nonce=2", secret.encode())


def make_mistakes(house, canaries):
    """Calls that are wrong in ways in which an error likes to repeat what it was given."""
    entrance = "wrong call"
    for _ in range(share(2)):
        house.api.error("user.verify", username="nobody", password=[canaries.new(entrance)])
        house.api.error("user.register", username="new", password={"text": canaries.new(entrance)})
        house.api.error("user.register", username="new", password="x", passwort=canaries.new(entrance))
        house.api.error("user.change_password", old_password=canaries.new(entrance), new_password=7)
        raw(house, "POST", "/api", f'{{"params": {{"password": "{canaries.new(entrance, plain=True)}"'.encode())
        raw(house, "POST", "/api", json.dumps({"method": 7, "params": [canaries.new(entrance)]}).encode())


def raw(house, method, path, body, **headers):
    """A request no client of ours would make; an answer of any kind is fine."""
    return house.app.test_client().open(
        path, method=method, data=body, headers={"Content-Type": "application/json", **headers}
    )


def opened_again():
    """The sealed variables of every run, in clear: what must be found where it is to be found."""
    names = db.session.scalars(select(RunFile.run_id).where(RunFile.name == files.VARIABLES))
    return b"".join(files.fetch(run_id, files.VARIABLES) or b"" for run_id in names.all())


def every_place(house, answered, written, folder):
    """Everywhere something is kept or told, with its bytes."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield from ((str(path.relative_to(folder)), content) for content in contents(path))
    yield "log", written.getvalue().encode()
    yield "metrics", house.app.test_client().get("/metrics").data
    yield "openrpc.json", house.app.test_client().get("/openrpc.json").data
    yield "work notifications", json.dumps(house.simulator.notifications()).encode()
    for instance in house.simulator.instances():
        yield "comments", json.dumps(house.simulator.comments(instance["instance_id"])).encode()
    for method, answer in answered:
        if method not in GIVES_SECRETS:
            yield f"answer of {method}", json.dumps(answer).encode()


# These answer with a secret, because that is what they are for.
GIVES_SECRETS = {"user.verify", "sso.refresh", "run.reveal_output"}


# --- the memory of a process ---


def test_the_web_process_does_not_remember_what_was_filled_in_in_dingtalk(
    modules, vault, credentials, canaries, tmp_path, capfd
):
    with a_stack(tmp_path / "data", modules, ops_log_level="DEBUG") as stack:
        canaries.know("token", stack.api.token)
        stack.simulator.add_template("保险箱", FORM, process_code="PROC-VAULT")
        ids = [
            fill_in(stack, secret_form(canaries, "form", entries=share(10))),
            fill_in(stack, secret_form(canaries, "form that fails", entries=share(5), mode="fails-in-apply")),
            fill_in(stack, secret_form(canaries, "form of many resources", copies=101)),
        ]
        registered = canaries.new("password")
        stack.api.call("user.register", username="lisi", password=registered)
        for instance_id in ids:
            stack.in_status(instance_id, "planned")
            stack.simulator.agree(instance_id)
        ends = [stack.ended(instance_id)["status"] for instance_id in ids]
        all_answers(stack.api)

        remembered = {
            name: canaries.count(b"".join(map(memory_of, family(pid)))) for name, pid in stack.fleet.pids().items()
        }
    told = capfd.readouterr()
    print("secrets found in memory, by process:", json.dumps(remembered, indent=1))

    assert ends == ["applied", "errored", "applied"]
    assert {"token"} <= remembered["run"].keys() <= IN_WEB_MEMORY
    assert canaries.search((told.out + told.err).encode()) == {}
    leaks = {
        str(path): found
        for path in tmp_path.rglob("*")
        if path.is_file()
        for content in contents(path)
        if (found := canaries.search(content))
    }
    assert leaks == {}


# What a web process cannot help holding: the state it is sent by Terraform, and what callers hand to it.
IN_WEB_MEMORY = {"token", "password", "form of many resources"}


def family(pid):
    """A process and its children."""
    yield pid
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                yield int(path.parent.name)


def memory_of(pid):
    """All that a process has in memory and could be dumped, taken while it stands still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        return b"".join(_regions(pid))
    finally:
        os.kill(pid, signal.SIGCONT)


def _regions(pid):
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if match is None or line.endswith(("[vvar]", "[vsyscall]")):
                continue
            begin, end = (int(number, 16) for number in match.groups())
            with contextlib.suppress(OSError):
                memory.seek(begin)
                yield memory.read(end - begin)
