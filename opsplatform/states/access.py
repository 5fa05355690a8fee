"""The credential with which Terraform reaches the state of its run: for one workspace, run and fence, for some days."""

from dataclasses import dataclass

from opsplatform.core import tokens

PURPOSE = "state.v1"
LIFE_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class Credential:
    """Who a request says it is, proved by its token."""

    run_id: int
    fence: int


def state_credential(workspace: str, run_id: int, fence: int) -> str:
    """The password; the user name is the id of the run."""
    return tokens.sign({"workspace": workspace, "run": run_id, "fence": fence}, PURPOSE)


def read_credential(workspace: str, username: str | None, password: str | None) -> Credential | None:
    """Whose request it is, or None when the password was not made for this workspace and run."""
    payload = tokens.read(password, PURPOSE, max_age=LIFE_SECONDS)
    if payload is None or payload.get("workspace") != workspace or str(payload.get("run")) != username:
        return None
    return Credential(payload["run"], payload["fence"])
