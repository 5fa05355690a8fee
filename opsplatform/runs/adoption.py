"""Take in what an earlier run left outside the state: import blocks that the next plan of its workspace carries."""

import json
import re
from collections.abc import Mapping

from opsplatform.core.masking import MASK
from opsplatform.inventory import service as inventory
from opsplatform.states import service as states

FILE = "opsplatform_imports.tf"
# Addresses and ids come from what was printed during an apply, so they are as trustworthy as the module.
_INDEX = r'(\[(\d+|"[^"\\$%\x00-\x1f\x7f]*")\])?'
_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_ADDRESS = re.compile(rf"(module\.{_NAME}{_INDEX}\.)*(?!data\.){_NAME}\.{_NAME}{_INDEX}")
_ID = re.compile(r"[^\x00-\x1f\x7f]+")


def orphans_of(workspace: str, state: bytes | None) -> dict[str, str]:
    """Address and id of what a plan can take in: the id is known, and the state has room for it."""
    orphans = inventory.orphans(workspace)
    if not orphans:
        return {}
    held = {resource.address for resource in states.resources_of(state)} if state else set()
    return {
        address: provider_id
        for address, provider_id in sorted(orphans.items())
        if address not in held and _ADDRESS.fullmatch(address) and _ID.fullmatch(provider_id) and provider_id != MASK
    }


def render(orphans: Mapping[str, str]) -> bytes:
    """The import blocks, the same for the same orphans; empty when there are none."""
    blocks = [f"import {{\n  to = {address}\n  id = {_quoted(orphans[address])}\n}}\n" for address in sorted(orphans)]
    return "".join(blocks).encode()


def hint(orphans: Mapping[str, str]) -> str:
    """What to add to the error of a plan that was to take these in; empty when there are none."""
    if not orphans:
        return ""
    names = ", ".join(f"{address} (id {provider_id})" for address, provider_id in orphans.items())
    return f" This plan also takes in what an earlier run left: {names}; resource.list has its import command."


def _quoted(text: str) -> str:
    """As a text of HCL in which nothing is evaluated."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
