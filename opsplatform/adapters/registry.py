"""The outside systems of the running application, in one place, so that a test can pass miniatures."""

from collections.abc import Callable
from functools import cached_property
from typing import cast

from flask import current_app

from opsplatform.adapters.dingtalk import DingTalk
from opsplatform.adapters.terraform import Terraform


class Adapters:
    """Every outside system, ready to be called; Terraform is looked for when it is first needed, by a worker."""

    def __init__(self, *, dingtalk: DingTalk, terraform: Callable[[], Terraform]) -> None:
        self.dingtalk = dingtalk
        self._find_terraform = terraform

    @cached_property
    def terraform(self) -> Terraform:
        """The Terraform of this host; UpstreamError says what to install when there is none."""
        return self._find_terraform()


def adapters() -> Adapters:
    """The adapters `create_app` was given; for edges only."""
    return cast("Adapters", current_app.extensions["adapters"])
