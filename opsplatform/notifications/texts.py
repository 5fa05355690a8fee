"""Every text people get from us in DingTalk: Chinese first, English second, one function a text."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

LONGEST_VALUE = 200


def plan_ready(run: Mapping[str, Any]) -> str:
    """The comment an approver decides on: counts, a short list, the digest."""
    plan = run["plan"]
    return (
        f"Terraform 计划已就绪：{run['module']} → {run['workspace']}（{run['environment']}），任务 #{run['id']}\n"
        f"新增 {plan['add']}，变更 {plan['change']}，销毁 {plan['destroy']}"
        f" (add {plan['add']}, change {plan['change']}, destroy {plan['destroy']})\n"
        f"{plan['summary']}\n"
        f"计划摘要 digest: {run['short_digest']}\n"
        "同意后将原样执行此计划，且仅执行一次。Once agreed, exactly this plan is applied, once."
    )


def needs_confirmation(run: Mapping[str, Any]) -> tuple[str, str]:
    """The plan that was approved could not be used; a person has to look at the new one."""
    return (
        f"任务 #{run['id']} 等待确认",
        (
            f"### 任务 #{run['id']} 需要人工确认\n\n{run['module']} → {run['workspace']} 已重新生成计划"
            f"（摘要 {run['short_digest']}），需由运维人员确认后执行。\n\n"
            f"A new plan was made after the approval; an operator has to confirm it. {_approval(run)}"
        ),
    )


def expires_soon(run: Mapping[str, Any], ends_at: dt.datetime) -> tuple[str, str]:
    """The plan has waited for its approval for weeks and soon will not any more."""
    day = f"{ends_at:%Y-%m-%d}"
    return (
        f"任务 #{run['id']} 的审批即将过期",
        (
            f"### 审批即将过期\n\n{run['module']} → {run['workspace']}，任务 #{run['id']} 的计划将于 {day} 失效。\n\n"
            f"The plan is discarded on {day} if nobody decides before. {_approval(run)}"
        ),
    )


def expired(run: Mapping[str, Any]) -> tuple[str, str]:
    """The plan waited too long; what was asked for has to be asked for again."""
    return (
        f"任务 #{run['id']} 已过期",
        (
            f"### 计划已过期\n\n{run['module']} → {run['workspace']}，任务 #{run['id']} 已作废，请重新提交申请。\n\n"
            f"The plan expired; please submit the form again. {_approval(run)}"
        ),
    )


def form_does_not_fit(title: str, reason: str) -> tuple[str, str]:
    """The form cannot be turned into variables: which field, and why."""
    return "申请表单有误", f"### 申请表单有误\n\n{title}\n\n{reason}\n\nThe form does not fit; please submit it again."


def applied(run: Mapping[str, Any]) -> tuple[str, str]:
    """Resources exist: which, and what is to be known about them."""
    outputs = "\n".join(f"- {name}: {_short(value)}" for name, value in (run.get("outputs") or {}).items())
    return (
        f"资源已开通：{run['module']} #{run['id']}",
        (
            f"### 资源已开通\n\n{run['module']} → {run['workspace']}（{run['environment']}），任务 #{run['id']}\n\n"
            f"{outputs}\n\nYour resources are ready. {_approval(run)}"
        ),
    )


def nothing_to_do(run: Mapping[str, Any]) -> tuple[str, str]:
    """The plan found nothing to change."""
    return (
        f"无需变更：{run['module']} #{run['id']}",
        (
            f"### 无需变更\n\n{run['module']} → {run['workspace']}，任务 #{run['id']}\n\n"
            f"Nothing had to be changed. {_approval(run)}"
        ),
    )


def failed(run: Mapping[str, Any]) -> tuple[str, str]:
    """It did not work: the first error in plain words."""
    return (
        f"执行失败：{run['module']} #{run['id']}",
        (
            f"### 执行失败\n\n{run['module']} → {run['workspace']}，任务 #{run['id']}\n\n"
            f"{_short(run.get('error') or '')}\n\nThe run failed. {_approval(run)}"
        ),
    )


def failed_comment(run: Mapping[str, Any]) -> str:
    """The same for the approvers, under the approval."""
    return f"任务 #{run['id']} 失败 (failed): {_short(run.get('error') or '')}"


def _approval(run: Mapping[str, Any]) -> str:
    approval = run.get("approval") or {}
    number = approval.get("business_id") or approval.get("instance_id") or ""
    return f"\n\n审批编号 {number}" if number else ""


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
