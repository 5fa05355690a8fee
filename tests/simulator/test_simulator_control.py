"""The control interface and the server: who may call, what is refused, and a process that starts and stops."""

import signal
import subprocess
import sys

import pytest
import requests

from opsplatform.core.errors import UpstreamError
from opsplatform.simulator import seed
from opsplatform.simulator.client import Simulator
from opsplatform.simulator.server import create_simulator


@pytest.fixture
def post(simulator):
    def send(path, body):
        answer = requests.post(f"{simulator.base_url}/sim/{path}", json=body, timeout=5)
        return answer.status_code, answer.json()

    return send


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("submit", {"process_code": "P", "userid": "u", "valeus": {}}, "valeus"),
        ("submit", {}, "process_code"),
        ("submit", [], "body"),
        ("templates", {"name": "x", "components": [{"id": 1}]}, "components.0.id"),
        ("faults", {"kind": "push.explode"}, "push.drop"),
        ("faults", {"kind": "push.drop", "count": 0}, "count"),
        ("subscribe", {"url": "http://x", "envelope": "new"}, "envelope"),
        ("settings", {"push_timeout": 0}, "push_timeout"),
        ("agree", {"instance_id": 1}, "instance_id"),
    ],
)
def test_a_body_with_a_mistake_is_refused_by_its_name(post, path, body, named):
    status, answer = post(path, body)

    assert (status, named in answer["message"]) == (400, True)


def test_an_unknown_address_is_told(simulator):
    answer = requests.get(f"{simulator.base_url}/sim/nothing", timeout=5)

    assert (answer.status_code, answer.json()["code"]) == (404, "notFound")


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::1", "nonsense", ""])
def test_only_this_machine_controls_it(address):
    client = create_simulator().test_client()

    answer = client.get("/sim/pushes", environ_overrides={"REMOTE_ADDR": address})

    assert answer.status_code == 403


def test_a_console_subscription_can_be_verified_first(simulator, subscriber):
    simulator.subscribe(subscriber.url, verify=True)
    assert [event.event_type for event in subscriber.events] == ["check_url"]

    subscriber.broken = [({}, 500)]
    with pytest.raises(UpstreamError) as caught:
        simulator.subscribe(subscriber.url, verify=True)
    assert caught.value.upstream_code == "71012"


def test_ordered_faults_can_be_taken_back(simulator, raw):
    simulator.fault("api.html", count=None, path="/topapi", status=200)
    page = requests.post(f"{simulator.base_url}/topapi/v2/user/get", timeout=5)
    assert page.headers["Content-Type"].startswith("text/html")

    simulator.clear_faults()
    assert raw.post("/topapi/v2/user/get", {"userid": "lisi"})[0] == 200


def test_the_kinds_of_faults_are_listed(simulator):
    kinds = requests.get(f"{simulator.base_url}/sim/faults", timeout=5).json()["kinds"]

    assert {"push.duplicate", "api.down", "instance.rewrite"} <= set(kinds)


def test_a_new_employee_can_apply_and_approve(simulator):
    simulator.add_user("wang5", "王五", dept_ids=[2])
    instance_id = simulator.submit("PROC-DEMO-FLEET", "wang5", {"名称": "f", "数量": 1}, approvers=["wang5"])

    assert simulator.agree(instance_id)["status"] == "COMPLETED"
    assert [item["instance_id"] for item in simulator.instances()] == [instance_id]


def test_the_seed_secrets_have_the_form_dingtalk_wants():
    assert len(seed.CALLBACK_AES_KEY) == 43
    assert seed.CALLBACK_AES_KEY.isalnum()
    assert 16 <= len(seed.CALLBACK_TOKEN) <= 32


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_process_serves_until_it_is_asked_to_stop(wait_for, number):
    code = "import sys; from opsplatform.simulator.server import serve; serve(port=int(sys.argv[1]))"
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", code, str(port)])
    try:
        wait_for(lambda: answers(port))
        assert Simulator(f"http://127.0.0.1:{port}").pushes() == []
        process.send_signal(number)

        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def free_port():
    import socket

    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


def answers(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/sim/pushes", timeout=1).ok
    except requests.ConnectionError:
        return False
