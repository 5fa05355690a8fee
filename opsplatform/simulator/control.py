"""The simulator's own interface, `/sim/…`: what people would do in DingTalk, and the faults a test orders.

It takes and gives JSON, wants no login and answers loopback addresses only.
"""

from dataclasses import asdict
from ipaddress import ip_address
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from pydantic import ValidationError

from opsplatform.simulator import flow
from opsplatform.simulator.answers import faults
from opsplatform.simulator.bodies import (
    WantedFault,
    WantedForm,
    WantedSettings,
    WantedStep,
    WantedSubscription,
    WantedTemplate,
    WantedUser,
    as_flow,
    as_sent,
)
from opsplatform.simulator.faults import KINDS, Fault
from opsplatform.simulator.pushes import pusher
from opsplatform.simulator.wire import Subscription
from opsplatform.simulator.world import Instance, Refused, Template, User, world

CONSOLE = "console"  # the subscription of the app's console page

control = Blueprint("control", __name__, url_prefix="/sim")


@control.before_request
def check_caller() -> None:
    """Let only this machine in."""
    try:
        near = ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        near = False
    if not near:
        raise Refused("forbidden", "The control interface answers loopback addresses only.", status=403)


@control.errorhandler(Refused)
def refuse(refused: Refused) -> tuple[Response, int]:
    """Tell a refusal."""
    return jsonify(code=refused.code, message=refused.text), refused.status


@control.errorhandler(ValidationError)
def refuse_body(error: ValidationError) -> tuple[Response, int]:
    """Tell what is wrong with a body."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "body"
    return jsonify(code="invalidParameter", message=f"{place}: {first['msg']}"), 400


@control.post("/templates")
def add_template() -> dict[str, Any]:
    """Make or edit a form."""
    wanted, here = WantedTemplate.model_validate_json(request.data), world()
    code = wanted.process_code or f"PROC-{here.new_instance_id().upper()}"
    components = [component.made() for component in wanted.components]
    with here.lock:
        here.templates[code] = Template(
            code, wanted.name, components, as_flow(wanted.approvers), wanted.enabled, wanted.can_withdraw
        )
    return {"process_code": code}


@control.post("/users")
def add_user() -> dict[str, Any]:
    """Hire, change or dismiss an employee."""
    wanted, here = WantedUser.model_validate_json(request.data), world()
    with here.lock:
        here.users[wanted.userid] = User(**wanted.model_dump())
    return {"userid": wanted.userid}


@control.post("/submit")
def submit() -> dict[str, Any]:
    """Submit a form."""
    wanted, here = WantedForm.model_validate_json(request.data), world()
    template = here.templates.get(wanted.process_code)
    form = flow.Form(
        process_code=wanted.process_code,
        userid=wanted.userid,
        values=[as_sent(template.components if template else [], *item) for item in wanted.values.items()],
        dept_id=wanted.dept_id,
        flow=as_flow(wanted.approvers),
        checked=not wanted.unchecked,
        biz_action=wanted.biz_action,
        main_id=wanted.main_instance_id,
    )
    return _told(flow.submit(here, form))


@control.post("/<any(agree, refuse):result>")
def decide(result: str) -> dict[str, Any]:
    """Agree or refuse, as the first person whose turn it is or as a named one."""
    wanted = WantedStep.model_validate_json(request.data)
    return _told(flow.decide(world(), wanted.instance_id, result, userid=wanted.userid, remark=wanted.remark))


@control.post("/redirect")
def redirect() -> dict[str, Any]:
    """Hand a turn to another employee."""
    wanted = WantedStep.model_validate_json(request.data)
    return _told(flow.redirect(world(), wanted.instance_id, wanted.to, userid=wanted.userid))


@control.post("/withdraw")
def withdraw() -> dict[str, Any]:
    """Withdraw an approval as its originator."""
    wanted = WantedStep.model_validate_json(request.data)
    return _told(flow.withdraw(world(), wanted.instance_id, userid=wanted.userid, remark=wanted.remark))


@control.post("/delete")
def delete() -> dict[str, Any]:
    """Delete an approval."""
    wanted = WantedStep.model_validate_json(request.data)
    flow.delete(world(), wanted.instance_id)
    return {"instance_id": wanted.instance_id}


@control.get("/instances")
def instances() -> dict[str, Any]:
    """Every approval, newest first."""
    here = world()
    with here.lock:
        return {"items": [_told(instance) for instance in reversed(here.instances.values())]}


@control.get("/instances/<instance_id>")
def instance(instance_id: str) -> dict[str, Any]:
    """One approval with its history and comments."""
    here = world()
    with here.lock:
        return _told(here.instance(instance_id))


@control.get("/notifications")
def notifications() -> dict[str, Any]:
    """Every work notification, also those that never arrived."""
    here = world()
    with here.lock:
        return {"items": [asdict(notice) for notice in here.notices]}


@control.get("/pushes")
def pushes() -> dict[str, Any]:
    """The push log."""
    wanted = request.args.get("instance_id")
    return {"items": [line for line in pusher().log() if wanted in {None, line["instance_id"]}]}


@control.post("/settle")
def settle() -> dict[str, Any]:
    """Wait until no push is due, at most `timeout` seconds."""
    timeout = (request.get_json(force=True, silent=True) or {}).get("timeout", 5)
    return {"settled": pusher().settle(float(timeout))}


@control.post("/subscribe")
def subscribe() -> dict[str, Any]:
    """Set where the app's events go."""
    wanted = WantedSubscription.model_validate_json(request.data)
    subscription = Subscription(**wanted.model_dump(exclude={"verify"}))
    if wanted.verify:
        pusher().wire.shake_hands(subscription)
    pusher().subscriptions[CONSOLE] = subscription
    return {"url": wanted.url}


@control.get("/faults")
def fault_kinds() -> dict[str, Any]:
    """What can go wrong on order."""
    return {"kinds": KINDS}


@control.post("/faults")
def add_fault() -> dict[str, Any]:
    """Order a fault."""
    wanted = WantedFault.model_validate_json(request.data)
    if wanted.kind == "token.expire":
        world().tokens.expire()
    elif wanted.kind in KINDS:
        faults().add(Fault(left=wanted.count, **wanted.model_dump(exclude={"count"})))
    else:
        raise Refused("invalidParameter", f"kind must be token.expire or one of {', '.join(KINDS)}")
    return {"kind": wanted.kind}


@control.delete("/faults")
def clear_faults() -> dict[str, Any]:
    """Let everything work again."""
    faults().clear()
    return {}


@control.post("/settings")
def settings() -> dict[str, Any]:
    """Adjust the simulator."""
    wanted, here, rules = WantedSettings.model_validate_json(request.data), world(), pusher().rules
    rules.retry_delays = rules.retry_delays if wanted.retry_delays is None else wanted.retry_delays
    rules.timeout = wanted.push_timeout or rules.timeout
    rules.signature_names = wanted.signature_names or rules.signature_names
    rules.sign_anew = rules.sign_anew if wanted.sign_anew is None else wanted.sign_anew
    here.tokens.lifetime = wanted.token_lifetime or here.tokens.lifetime
    here.clock.ahead = here.clock.ahead if wanted.clock_ahead is None else wanted.clock_ahead
    return {**asdict(rules), "token_lifetime": here.tokens.lifetime, "clock_ahead": here.clock.ahead}


@control.post("/reset")
def reset() -> dict[str, Any]:
    """Forget everything that happened."""
    current_app.extensions["reset"]()
    return {}


def _told(instance: Instance) -> dict[str, Any]:
    """An approval as this interface tells it, template and comments included."""
    comments = [
        {"userid": one.userid, "text": one.remark, "at": one.at}
        for one in instance.operations
        if one.type == "ADD_REMARK"
    ]
    return {
        "instance_id": instance.id,
        "process_code": instance.template.process_code,
        "business_id": instance.business_id,
        "title": instance.title,
        "status": instance.status,
        "result": instance.result,
        "originator": {"userid": instance.originator.userid, "name": instance.originator.name},
        "created": instance.created,
        "finished": instance.finished,
        "biz_action": instance.biz_action,
        "main_instance_id": instance.main_id,
        "tasks": [asdict(task) for task in instance.tasks],
        "operations": [asdict(operation) for operation in instance.operations],
        "comments": comments,
        "values": instance.values,
    }
