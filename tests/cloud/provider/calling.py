"""How the provider talks to the local cloud: one request, one answer; the same again when it is lost.

Only the standard library, and little of it: every Terraform command starts the provider anew.
"""

import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 300.0


class CloudError(Exception):
    """The cloud refused, or did not answer; `code` is its own word for it."""

    def __init__(self, code: str, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass(frozen=True)
class CloudApi:
    """One account at the local cloud."""

    url: str
    token: str
    label: str
    retries: int

    @classmethod
    def from_environment(cls) -> "CloudApi":
        """The account the environment names; the label is the folder of the run where there is no other."""
        return cls(
            url=os.environ.get("FAKECLOUD_URL", ""),
            token=os.environ.get("FAKECLOUD_TOKEN", ""),
            label=os.environ.get("FAKECLOUD_LABEL") or Path.cwd().parent.name,
            retries=int(os.environ.get("FAKECLOUD_RETRIES", "1")),
        )

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the cloud answers; a lost answer is asked for again under the same request id, so nothing is twice."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "X-Request-Id": uuid.uuid4().hex,
            "X-Run-Label": self.label,
        }
        for _ in range(self.retries):
            try:
                return self._once(method, path, body, headers)
            except OSError:
                continue
        try:
            return self._once(method, path, body, headers)
        except OSError as error:
            raise CloudError("ConnectionLost", f"The cloud gave no answer to {method} {path}: {error}") from error

    def _once(self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]) -> dict[str, Any]:
        import http.client  # most starts of a provider make no call

        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            status, answer = response.status, json.loads(response.read())
        except http.client.HTTPException as error:
            raise OSError(type(error).__name__) from error
        finally:
            connection.close()
        if status >= 400:
            raise CloudError(str(answer.get("code")), str(answer.get("message")), status)
        found: dict[str, Any] = answer
        return found
