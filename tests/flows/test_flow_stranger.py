"""A client that knows only the public contract: its own DingTalk, somebody else's crypto, no code of ours."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import Request, urlopen

import pytest
from dingtalk.crypto import DingTalkCrypto

from config import child_environment
from opsplatform.adapters.fleet import Fleet, free_port
from tests.flows.conftest import wait_for
from tests.support import ROOT

TOKEN, AES_KEY, APP_KEY = "tokenOfStranger1", "abcdefghijABCDEFGHIJ0123456789abcdefghijABC", "dingstranger0000"
INSTANCE, PROCESS = "oyTx-r2qk_QXqj00891653925597", "PROC-STRANGER-1"


class TheirDingTalk(BaseHTTPRequestHandler):
    """Answers what the public documentation says, and remembers what it was told."""

    said: ClassVar[list[dict]] = []
    status: ClassVar[dict] = {"status": "RUNNING", "result": ""}

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/gettoken":
            self.answer({"errcode": 0, "errmsg": "ok", "access_token": "t", "expires_in": 7200})
        elif url.path == "/v1.0/workflow/processInstances" and parse_qs(url.query)["processInstanceId"] == [INSTANCE]:
            self.answer({"result": self.instance(), "success": "true"})
        else:
            self.answer({"code": "notFound", "message": url.path}, 404)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = urlsplit(self.path).path
        self.said.append({"path": path, **body})
        answers = {
            "/v1.0/oauth2/accessToken": {"accessToken": "t", "expireIn": 7200},
            "/v1.0/workflow/processInstances/comments": {"result": True, "success": True},
            "/topapi/message/corpconversation/asyncsend_v2": {"errcode": 0, "task_id": 1, "request_id": "r"},
        }
        self.answer(answers.get(path, {"errcode": 404, "errmsg": "请求的URI地址不存在"}))

    def instance(self):
        record = {"userId": "boss", "date": "2026-01-02T03:04Z", "type": "EXECUTE_TASK_NORMAL", "result": "AGREE"}
        values = [
            {"id": "TextField-1", "name": "机器名", "value": "db-7", "componentType": "TextField"},
            {"id": "DDSelectField-2", "name": "大小", "value": "medium", "componentType": "DDSelectField"},
        ]
        return {
            "title": "李雷提交的机器申请",
            "businessId": "202601020304000012345",
            "createTime": "2026-01-02T03:00Z",
            "originatorUserId": "lilei",
            "operationRecords": [record] if self.status["result"] == "agree" else [],
            "tasks": [],
            "bizAction": "NONE",
            "formComponentValues": values,
            **self.status,
        }

    def answer(self, value, status=200):
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args):
        pass


@pytest.fixture
def platform(tmp_path) -> Iterator[str]:
    """The platform, started with nothing but the commands and settings of the contract."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), TheirDingTalk)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    dingtalk, port = f"http://127.0.0.1:{server.server_port}", free_port()
    env = child_environment(
        ops_env="development",
        ops_data_dir=tmp_path,
        database_url="",
        port=port,
        dingtalk_app_key=APP_KEY,
        dingtalk_app_secret="s",
        dingtalk_agent_id="1",
        dingtalk_token=TOKEN,
        dingtalk_aes_key=AES_KEY,
        dingtalk_oapi_url=dingtalk,
        dingtalk_api_url=dingtalk,
        ops_log_level="ERROR",
    )
    fleet = Fleet(ROOT)
    fleet.call([sys.executable, "manage.py", "db", "upgrade"], env)
    fleet.call(
        [sys.executable, "manage.py", "create-admin", "root-1", "--password-stdin"], env, given="a long password 42\n"
    )
    fleet.start("all", [sys.executable, "manage.py", "serve"], env)
    yield f"http://127.0.0.1:{port}"
    fleet.stop()
    server.shutdown()
    server.server_close()


def test_a_stranger_pushes_a_signed_approval_and_reads_back_who_opened_what_when(platform):
    wait_for(lambda: answers(f"{platform}/readyz"), "the platform")
    token = call(platform, None, "user.verify", username="root-1", password="a long password 42")["token"]
    fields = {"name": "TextField-1", "size": "大小"}
    module = call(platform, token, "module.bind", name="demo-server", process_code=PROCESS, fields=fields)

    push(platform, {"type": "start", "staffId": "lilei"})
    comment = wait_for(lambda: told("comments"), "the plan as a comment")
    TheirDingTalk.status.update(status="COMPLETED", result="agree")
    push(platform, {"type": "finish", "result": "agree", "staffId": "lilei"})
    (resource,) = wait_for(lambda: call(platform, token, "resource.list")["items"], "the resource")

    run = call(platform, token, "run.get", id=resource["run_id"])
    assert module["form"]["process_code"] == PROCESS
    assert run["plan"]["digest"][:4] in comment["text"]
    assert (run["status"], run["variables"]) == ("applied", {"name": "db-7", "size": "medium"})
    assert resource["applicant"]["userid"] == "lilei"
    assert [(each["userid"], each["result"]) for each in resource["approvers"]] == [("boss", "agree")]
    assert resource["approval"]["business_id"] == "202601020304000012345"
    assert wait_for(lambda: told("asyncsend_v2"), "the notification")["userid_list"] == "lilei"


def told(what):
    """The first call of this kind that their DingTalk got."""
    return next((each for each in TheirDingTalk.said if each["path"].endswith(what)), None)


def push(address, fields):
    """Push an event as DingTalk does; the answer must be the encrypted word success."""
    crypto = DingTalkCrypto(TOKEN, AES_KEY, APP_KEY)
    event = {"EventType": "bpms_instance_change", "processInstanceId": INSTANCE, "processCode": PROCESS, **fields}
    sealed = crypto.encrypt_message(json.dumps(event))
    query = {"signature": sealed["msg_signature"], "timestamp": sealed["timeStamp"], "nonce": sealed["nonce"]}
    answer = post(f"{address}/dingtalk/callback?{urlencode(query)}", {"encrypt": sealed["encrypt"]})
    proof = (answer["msg_signature"], answer["timeStamp"], answer["nonce"])
    assert crypto.decrypt_message({"encrypt": answer["encrypt"]}, *proof) == "success"


def call(address, token, method, **params):
    """A JSON-RPC call with nothing but the standard library."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = post(f"{address}/api", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, headers)
    assert "result" in answer, answer
    return answer["result"]


def post(url, body, headers=None):
    headers = {"Content-Type": "application/json", **(headers or {})}
    with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=10) as response:
        return json.loads(response.read())


def answers(url):
    try:
        with urlopen(url, timeout=2) as response:
            return response.status == 200
    except OSError:
        return False
