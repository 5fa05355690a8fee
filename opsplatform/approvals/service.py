"""Approvals: what DingTalk says an approval is, and what that means for a run."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError

from opsplatform.adapters.dingtalk import FormValue, Instance
from opsplatform.adapters.dingtalk_values import read_time
from opsplatform.approvals import inbox
from opsplatform.approvals.models import Approval, ApprovalStatus, InboxEvent, Person
from opsplatform.catalog import service as catalog
from opsplatform.catalog.service import Bound, FormRefused
from opsplatform.core.db import db, now
from opsplatform.core.errors import NotFound
from opsplatform.core.leases import Lease
from opsplatform.notifications import service as notifications
from opsplatform.notifications import texts
from opsplatform.runs import service as runs
from opsplatform.runs.service import Applicant, Runs

WORKSPACE_STEM = 50  # characters of the module's name that go into a workspace's name
NAME_LIFE = dt.timedelta(days=7)
DECISIONS = ("AGREE", "REFUSE")
OUTCOMES = {
    ("COMPLETED", "agree"): ApprovalStatus.AGREED,
    ("COMPLETED", "refuse"): ApprovalStatus.REFUSED,
    ("TERMINATED", ""): ApprovalStatus.TERMINATED,
}


def why_ignored(event: InboxEvent, own_corp: str) -> str | None:
    """Why an event is none of our business; None when it is."""
    if own_corp and event.corp_id and event.corp_id != own_corp:
        return "another organisation's event"
    if not event.instance_id or not isinstance(event.data.get("processCode"), str):
        return "the event names no approval or no template"
    if _template_of(event) is None:
        _approval_of(event, None).url = _url(event)
        return "no module is bound to this template"
    return None


def record_instance(lease: Lease, instance: Instance, names: Mapping[str, str]) -> None:
    """Take over an approval as it stands now; order a run for it, and pass its outcome on."""
    event = inbox.stamp(lease, "done")
    template = _template_of(event)
    if template is None:  # why_ignored will say so when the event's turn comes again
        raise NotFound("No module is bound to the template of this approval any more.")
    approval = _approval_of(event, template)
    ordered = runs.runs_of_approval(approval.id)
    approval.url = approval.url or _url(event)
    if approval.status == ApprovalStatus.IGNORED:
        approval.move_to(ApprovalStatus.PENDING)
    if approval.status == ApprovalStatus.PENDING:
        _take_facts(approval, template, instance, names)
    outcome = _outcome(instance)
    if not ordered and outcome in {None, ApprovalStatus.AGREED} and approval.status == ApprovalStatus.PENDING:
        ordered = _order(approval, template, instance)
    if inbox.RESTORED in event.data:
        for run in ordered:
            runs.distrust(run)
    if outcome is not None:
        _decide(approval, outcome, ordered, read_time(event.data.get("finishTime")) or instance.finished_at)


def record_started(instance_id: str, form: catalog.FilledForm, *, module: str, applicant: tuple[str, str]) -> Approval:
    """Remember an approval that was started from here, unless its first event was faster."""
    userid, name = applicant
    values = [
        FormValue(sent.get("id", ""), sent["name"], sent["value"], None, "", sent.get("bizAlias"))
        for sent in form.values
    ]
    approval = Approval(
        instance_id=instance_id[:128],
        process_code=form.process_code,
        module=module,
        applicant_userid=userid,
        applicant_name=name[:128],
        form=_shown(values, form.hidden),
    )
    try:
        with db.session.begin_nested():
            db.session.add(approval)
    except IntegrityError:
        return db.session.scalars(select(Approval).where(Approval.instance_id == instance_id)).one()
    return approval


def record_gone(lease: Lease) -> None:
    """An approval was deleted in DingTalk: nothing of it may run."""
    event = inbox.stamp(lease, "done")
    approval = _approval_of(event, _template_of(event))
    _decide(approval, ApprovalStatus.TERMINATED, runs.runs_of_approval(approval.id), now())


def get(approval_id: int) -> Approval:
    """The approval, or NotFound."""
    approval = db.session.get(Approval, approval_id)
    if approval is None:
        raise NotFound(f"There is no approval {approval_id}.")
    return approval


def find(*, status: str | None = None, applicant: str | None = None, module: str | None = None) -> Select[Approval]:
    """The approvals that match; the caller pages through them."""
    wanted = {Approval.status: status, Approval.applicant_userid: applicant, Approval.module: module}
    return select(Approval).where(*(column == value for column, value in wanted.items() if value is not None))


def people_of(instance: Instance) -> set[str]:
    """User ids of everybody who takes part in an approval."""
    deciding = {operation.userid for operation in instance.operations if operation.result in DECISIONS}
    return {instance.originator_userid, *deciding, *(task.userid for task in instance.tasks)} - {""}


def names_of(userids: Iterable[str]) -> dict[str, str]:
    """Names looked up not long ago; who is missing has to be looked up."""
    query = select(Person).where(Person.userid.in_(list(userids)), Person.looked_up_at > now() - NAME_LIFE)
    return {person.userid: person.name for person in db.session.scalars(query)}


def remember_names(names: Mapping[str, str]) -> None:
    """Keep names, so that DingTalk need not be asked at every event."""
    for userid, name in names.items():
        db.session.merge(Person(userid=userid, name=name, looked_up_at=now()))


def _template_of(event: InboxEvent) -> Bound | None:
    return catalog.template_of(str(event.data.get("processCode")))


def _approval_of(event: InboxEvent, template: Bound | None) -> Approval:
    """The approval an event is about, locked until the transaction ends; made on first sight."""
    query = select(Approval).where(Approval.instance_id == event.instance_id).with_for_update()
    approval = db.session.scalar(query)
    if approval is None:
        data = event.data
        approval = Approval(
            instance_id=event.instance_id,
            process_code=str(data.get("processCode"))[:128],
            title=str(data.get("title") or "")[:255],
            status=ApprovalStatus.PENDING if template else ApprovalStatus.IGNORED,
            module=template and template.module,
            applicant_userid=str(data.get("staffId") or "")[:128],
            applicant_name=str(data.get("staffId") or "")[:128],
        )
        db.session.add(approval)
        db.session.flush()
    return approval


def _take_facts(approval: Approval, template: Bound, instance: Instance, names: Mapping[str, str]) -> None:
    approval.module = approval.module or template.module
    approval.business_id = instance.business_id[:64] or approval.business_id
    approval.title = instance.title[:255] or approval.title
    approval.applicant_userid = instance.originator_userid[:128] or approval.applicant_userid
    approval.applicant_name = names.get(approval.applicant_userid, approval.applicant_userid)[:128]
    approval.created_at = instance.created_at or approval.created_at
    approval.approvers = _approvers(instance, names)
    approval.form = _shown(instance.values, catalog.sensitive_components(template))


def _shown(values: Iterable[FormValue], hidden: frozenset[str]) -> list[dict[str, Any]]:
    """A form as it is kept: what nobody may see is masked."""
    return [
        {"id": field.id, "name": field.name, "value": runs.MASK if _hidden(field, hidden) else field.value}
        for field in values
    ]


def _hidden(field: FormValue, hidden: frozenset[str]) -> bool:
    return field.value is not None and not hidden.isdisjoint({field.id, field.name, field.biz_alias or ""})


def _approvers(instance: Instance, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Who decided what, then whose turn it still is."""
    decided = [
        {"userid": o.userid, "name": names.get(o.userid, o.userid), "result": o.result.lower(), "at": _iso(o.at)}
        for o in instance.operations
        if o.result in DECISIONS and o.userid
    ]
    waiting = [
        {"userid": t.userid, "name": names.get(t.userid, t.userid), "result": None, "at": None}
        for t in instance.tasks
        if t.status in {"NEW", "RUNNING"}
    ]
    return decided + waiting


def _order(approval: Approval, template: Bound, instance: Instance) -> Runs:
    """Turn the form into a run, or say which field does not fit."""
    if instance.biz_action != "NONE":
        _refuse_form(
            approval,
            "此审批修改或撤销了另一审批，须由运维人员处理 / it changes or revokes another approval; ask operations",
        )
        return []
    try:
        order = catalog.resolve(template, instance.values)
    except FormRefused as refused:
        _refuse_form(approval, refused.text)
        return []
    run = runs.queue_run(
        order,
        Applicant(approval.applicant_userid, approval.applicant_name, _reference(approval)),
        origin=f"approval:{approval.id}",
        workspace=f"{order.module[:WORKSPACE_STEM]}-{approval.id}",
    )
    return [run]


def _refuse_form(approval: Approval, reason: str) -> None:
    approval.move_to(ApprovalStatus.INVALID)
    approval.error = reason
    title, text = texts.form_does_not_fit(approval.title, reason)
    key = f"approval:{approval.id}:invalid"
    notifications.tell(key, userid=approval.applicant_userid, title=title, text=text)
    notifications.comment(key, instance_id=approval.instance_id, userid=approval.applicant_userid, text=reason)


def _decide(approval: Approval, outcome: ApprovalStatus, ordered: Runs, at: dt.datetime | None) -> None:
    if not approval.move_to(outcome):
        if approval.status == ApprovalStatus.INVALID:
            approval.finished_at = approval.finished_at or at or now()
        return
    approval.finished_at = at or now()
    agreed = [each for each in approval.approvers if each["result"] == "agree"]
    for run in ordered:
        runs.decide(run, approved=outcome == ApprovalStatus.AGREED, approvers=agreed, at=at)


def _outcome(instance: Instance) -> ApprovalStatus | None:
    """How it ended; None while it runs. What is neither agreement nor refusal may not lead to anything."""
    if instance.status in {"NEW", "RUNNING", "PAUSED"}:
        return None
    return OUTCOMES.get((instance.status, instance.result), ApprovalStatus.TERMINATED)


def _reference(approval: Approval) -> dict[str, Any]:
    names = ("id", "instance_id", "business_id", "title", "url")
    return {name: getattr(approval, name) for name in names}


def _url(event: InboxEvent) -> str | None:
    url = event.data.get("url")
    return url.replace("\\u003d", "=").replace("\\u0026", "&") if isinstance(url, str) and url else None


def _iso(at: dt.datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None
