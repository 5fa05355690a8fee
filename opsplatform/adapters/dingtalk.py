"""The DingTalk client: approvals, comments, work notifications and people.

DingTalk has two families of interfaces. The current one takes the token in a header and answers HTTP errors with a
`code`; the old one takes it in the query and answers HTTP 200 with an `errcode`. Both end here as `UpstreamError`.
"""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NoReturn

from opsplatform.adapters.dingtalk_token import AccessToken
from opsplatform.adapters.dingtalk_values import (
    FormValue,
    Instance,
    Operation,
    Person,
    Task,
    read_instance,
    read_person,
)
from opsplatform.adapters.transport import AnswerError, Client
from opsplatform.core.errors import UpstreamError

__all__ = ["DingTalk", "FormValue", "Instance", "Operation", "Person", "Task", "shorten"]

SYSTEM = "dingtalk"
INSTANCES = "/v1.0/workflow/processInstances"
LONGEST_COMMENT = 1024  # UTF-16 units
LARGEST_MESSAGE = 2048  # bytes of UTF-8
STALE_TOKEN = frozenset({"40001", "40014", "42001", "invalidauthentication"})
BUSY = frozenset(
    {
        "-1",
        "90018",
        "90002",
        "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi",
        "Forbidden.AccessDenied.QpsLimitForApi",
    }
)
UNDECIDED = frozenset({"-1", "None"})  # the call may have been carried out all the same
BUSY_PAUSES = (1.0, 2.0)


class DingTalk:
    """One in-house app of one DingTalk organisation; may be shared by all threads."""

    def __init__(
        self,
        *,
        oapi_url: str,
        api_url: str,
        app_key: str,
        app_secret: str,
        agent_id: str = "",
        timeout: tuple[float, float] = (3, 5),
    ) -> None:
        self._oapi = Client(oapi_url, SYSTEM, timeout=timeout)
        self._api = Client(api_url, SYSTEM, timeout=timeout)
        # Blanks around a pasted secret are the commonest cause of a refused login.
        self._app_key, self._app_secret, self._agent_id = app_key.strip(), app_secret.strip(), agent_id.strip()
        self._token = AccessToken(self._fetch_token)

    def get_instance(self, instance_id: str) -> Instance:
        """An approval as it stands now."""
        answer = self._patiently(
            lambda: self._call("GET", INSTANCES, params={"processInstanceId": instance_id}, safe=True)
        )
        result = answer.get("result")
        if not isinstance(result, dict) or not result.get("status"):
            raise UpstreamError(SYSTEM, f"GET {INSTANCES}: the answer holds no approval")
        return read_instance(instance_id, result)

    def comment(self, instance_id: str, text: str, userid: str) -> None:
        """Write a comment on an approval in the name of an employee."""
        body = {
            "processInstanceId": instance_id,
            "text": shorten(text, LONGEST_COMMENT),
            "commentUserId": userid,
        }
        self._change(f"{INSTANCES}/comments", body)

    def create_instance(
        self, originator_userid: str, process_code: str, dept_id: int, values: Sequence[Mapping[str, Any]]
    ) -> str:
        """Start an approval for an employee; the template's own flow decides who approves."""
        body = {
            "originatorUserId": originator_userid,
            "processCode": process_code,
            "deptId": dept_id,
            "formComponentValues": [dict(value) for value in values],
        }
        answer = self._call("POST", INSTANCES, json=body, safe=False)
        if not isinstance(answer.get("instanceId"), str):
            raise UpstreamError(SYSTEM, f"POST {INSTANCES}: the answer holds no instance id", certain=False)
        return str(answer["instanceId"])

    def terminate_instance(self, instance_id: str, *, userid: str | None = None, remark: str = "") -> None:
        """End a running approval, as its originator or, without one, as the system."""
        body: dict[str, Any] = {
            "processInstanceId": instance_id,
            "isSystem": userid is None,
            "remark": shorten(remark, LONGEST_COMMENT),
        }
        if userid is not None:
            body["operatingUserId"] = userid
        self._change(f"{INSTANCES}/terminate", body)

    def notify(self, userid: str, title: str, markdown: str) -> str:
        """Queue a work notification and return DingTalk's id of the task.

        The same text reaches the same person once a day; put something that differs into it.
        """
        if not self._agent_id.isdecimal():
            raise UpstreamError(SYSTEM, "DINGTALK_AGENT_ID must be set to the number of the app to send notifications")
        body = {
            "agent_id": int(self._agent_id),
            "userid_list": userid,
            "to_all_user": False,
            "msg": _markdown_message(title, markdown),
        }
        answer = self._call_old("/topapi/message/corpconversation/asyncsend_v2", body, safe=False)
        return str(answer.get("task_id", ""))

    def get_user(self, userid: str) -> Person:
        """An employee."""
        path = "/topapi/v2/user/get"
        answer = self._patiently(lambda: self._call_old(path, {"userid": userid, "language": "zh_CN"}, safe=True))
        result = answer.get("result")
        if not isinstance(result, dict) or not result.get("userid"):
            raise UpstreamError(SYSTEM, f"POST {path}: the answer holds no user")
        return read_person(result)

    def check(self) -> None:
        """Whether DingTalk answers and accepts our app key and secret; raises what is wrong."""
        self._token.get()

    def _change(self, path: str, body: Mapping[str, Any]) -> None:
        """Call a method of the current family that answers only whether it did what was asked."""
        answer = self._call("POST", path, json=body, safe=False)
        if str(answer.get("success", True)).lower() != "true" or answer.get("result") is False:
            raise UpstreamError(SYSTEM, f"POST {path}: DingTalk did not do it and gave no reason")

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        safe: bool,
    ) -> dict[str, Any]:
        """Call the current family."""

        def send(token: str) -> dict[str, Any]:
            headers = {"x-acs-dingtalk-access-token": token}
            answer = self._api.call(method, path, params=params, json=json, headers=headers, safe=safe)
            if "punish" in answer:
                _refuse(f"{method} {path}", answer, token=token)
            return answer

        return self._with_token(send)

    def _call_old(self, path: str, body: Mapping[str, Any], *, safe: bool) -> dict[str, Any]:
        """Call the old family."""

        def send(token: str) -> dict[str, Any]:
            answer = self._oapi.call("POST", path, params={"access_token": token}, json=body, safe=safe)
            code = str(answer.get("errcode"))
            if code != "0":
                certain = safe or "punish" in answer or code not in UNDECIDED
                _refuse(f"POST {path}", answer, token=token, certain=certain)
            return answer

        return self._with_token(send)

    def _with_token(self, send: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        """Send with the token, and once more with a new one when DingTalk says this one has ended."""
        token = self._token.get()
        try:
            return send(token)
        except UpstreamError as error:
            if not _token_refused(error):
                raise
        return send(self._token.replace(token))

    @staticmethod
    def _patiently(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Ask, and again after a while when DingTalk only says that it is busy."""
        for pause in BUSY_PAUSES:
            try:
                return ask()
            except UpstreamError as error:
                if error.upstream_code not in BUSY:
                    raise
            time.sleep(pause * random.uniform(1, 1.5))  # noqa: S311 - spreads load, hides nothing
        return ask()

    def _fetch_token(self) -> tuple[str, float]:
        """A token from DingTalk; the secret travels in the body, so that no address ever holds it."""
        path = "/v1.0/oauth2/accessToken"
        body = {"appKey": self._app_key, "appSecret": self._app_secret}
        answer = self._api.call("POST", path, json=body, safe=True)
        token, lifetime = answer.get("accessToken"), answer.get("expireIn", 7200)
        if not isinstance(token, str) or not token or not str(lifetime).isdecimal():
            raise UpstreamError(SYSTEM, f"POST {path}: the answer holds no access token")
        return token, float(lifetime)


def shorten(text: str, limit: int) -> str:
    """The text, cut to `limit` UTF-16 units, which is how DingTalk counts, with … where it was cut."""
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * limit:
        return text
    return units[: 2 * (limit - 1)].decode("utf-16-le", "ignore") + "…"


def _markdown_message(title: str, markdown: str) -> dict[str, Any]:
    """A markdown message that DingTalk takes: its JSON is at most 2048 bytes."""
    title = shorten(title, 64)

    def message(text: str) -> dict[str, Any]:
        return {"msgtype": "markdown", "markdown": {"title": title, "text": text}}

    limit = LARGEST_MESSAGE
    while _size(message(text := shorten(markdown, limit))) > LARGEST_MESSAGE:
        limit = limit * 9 // 10
    return message(text)


def _size(message: Mapping[str, Any]) -> int:
    return len(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))


def _token_refused(error: UpstreamError) -> bool:
    """Whether the error says that the access token has ended."""
    if isinstance(error, AnswerError) and error.status == HTTPStatus.UNAUTHORIZED:
        return True
    return (error.upstream_code or "").lower() in STALE_TOKEN


def _refuse(call: str, answer: Mapping[str, Any], *, token: str, certain: bool = True) -> NoReturn:
    """Raise what an answer of HTTP 200 says went wrong; the detailed code goes before the general one."""
    code = next((str(answer[key]) for key in ("sub_code", "errcode", "status") if answer.get(key)), "no errcode")
    text = str(answer.get("sub_msg") or answer.get("errmsg") or answer.get("punish") or "").replace(token, "***")[:200]
    raise UpstreamError(SYSTEM, f"{call}: {code} {text}".rstrip(), upstream_code=code, certain=certain)
