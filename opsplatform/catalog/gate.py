"""The first gate: what no module may contain, because planning it already runs it.

A plan reads files, calls programs and talks to hosts with the worker's rights. So a module enters the catalogue only
when its text shows that it cannot; offer.yaml may allow single things, and whoever reviews the module reads them there.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from opsplatform.catalog.hcl import Block, Node
from opsplatform.catalog.offers import Allow

BUILTIN = "terraform.io/builtin/terraform"
PROVIDERS = frozenset(
    {BUILTIN, "hashicorp/null", "hashicorp/random", "hashicorp/time", "hashicorp/tls", "aliyun/alicloud"}
)
DATA_SOURCES_REFUSED = frozenset({"external", "http", "terraform_remote_state"})
BLOCKS = frozenset({"terraform", "variable", "locals", "resource", "data", "ephemeral", "output", "module", "check"})
FUNCTIONS_REFUSED = frozenset({"templatefile", "fileset", "pathexpand", "abspath"})

_DEFAULT_REGISTRIES = ("registry.terraform.io/", "registry.opentofu.org/")
_FILES_REFUSED = re.compile(
    r".*\.(tf|tofu)\.json|.*\.tofu|override\.tf|.*_override\.tf|.*\.tfvars(\.json)?|.*\.tfstate(\.backup)?",
    re.IGNORECASE,
)
_FILE_FUNCTION = re.compile(r"file\w*\Z")
# Texts that were not taken apart (heredocs) are searched as text, rather too strictly than not.
_CALL_IN_TEXT = re.compile(r"([A-Za-z_]\w*)\s*\(")
_PATH_IN_TEXT = re.compile(r"\bpath\s*\.\s*(?!module\b)\w+")


def file_refusal(path: str) -> str | None:
    """Why a file may not lie in a module at all, or None."""
    name = PurePosixPath(path).name
    if _FILES_REFUSED.fullmatch(name):
        return f"{path}: a file of this kind would change the plan unseen; remove it"
    return None


def refusals(files: Mapping[str, Block], allow: Allow) -> list[str]:
    """What the gate refuses in the module's .tf files, each with file and line."""
    found: list[str] = []
    for path, file in files.items():
        for line, text in (*_blocks(file, allow), *_expressions(file, allow)):
            found.append(f"{path}:{line}: {text}")
        found += [f"{path}:{line}: {text}" for line, text in _providers(file, _sources(files, path), allow)]
    return found


def provider_source(address: str) -> str:
    """A provider's address without the default registry, so that Terraform and OpenTofu agree."""
    for registry in _DEFAULT_REGISTRIES:
        address = address.removeprefix(registry)
    return address


def allowed_providers(allow: Allow) -> frozenset[str]:
    """The providers this module may use."""
    return PROVIDERS | {provider_source(source) for source in allow.providers}


def _blocks(file: Block, allow: Allow) -> Iterator[tuple[int, str]]:
    for name, node in file.attributes.items():
        yield node.line, f"{name} = … cannot stand outside a block"
    for top in file.blocks:
        if top.type not in BLOCKS:
            yield top.line, f"{top.type} blocks are not allowed in a module (the platform writes them)"
        for block in top.walk():
            text = _block_refusal(top, block, allow)
            if text:
                yield block.line, text


def _block_refusal(top: Block, block: Block, allow: Allow) -> str | None:
    if top.type == "terraform" and block is not top and block.type != "required_providers":
        return f"terraform may not hold {block.type}; the platform keeps the state"
    if block.type == "provisioner" and set(block.labels) - set(allow.provisioners):
        return f"provisioner {' '.join(block.labels)} is not allowed (offer.yaml: allow.provisioners)"
    if block.type == "connection" and not allow.provisioners:
        return "connection blocks are not allowed"
    if block.type == "data" and block.labels and block.labels[0] in DATA_SOURCES_REFUSED - set(allow.data_sources):
        return f"data {block.labels[0]} is not allowed (offer.yaml: allow.data_sources)"
    if block is top and block.type == "module":
        return _source_refusal(block)
    return None


def _source_refusal(block: Block) -> str | None:
    source = block.attributes.get("source")
    text = source.value if source is not None and source.kind == "literal" else None
    if not isinstance(text, str) or not text.startswith("./") or ".." in text.split("/"):
        return "a module source must be a plain ./folder inside this module"
    return None


def _expressions(file: Block, allow: Allow) -> Iterator[tuple[int, str]]:
    for block in file.walk():
        for attribute in block.attributes.values():
            for node in attribute.walk():
                for text in _node_refusals(node, set(allow.functions)):
                    yield node.line, text


def _node_refusals(node: Node, allowed: set[str]) -> Iterator[str]:
    calls: list[str] = []
    if node.kind == "call":
        calls = [str(node.value)]
    elif node.kind == "name" and node.value[0] == "path" and node.value[1:2] != ("module",):
        yield "only path.module may be used, no other path"
    elif node.kind == "template" and not node.parts:
        calls = _CALL_IN_TEXT.findall(node.value)
        if _PATH_IN_TEXT.search(node.value):
            yield "only path.module may be used, no other path"
    for call in calls:
        function = call.rsplit("::", maxsplit=1)[-1]
        if function not in allowed and (function in FUNCTIONS_REFUSED or _FILE_FUNCTION.match(function)):
            yield f"{function}() reads files of the host (offer.yaml: allow.functions)"


def _sources(files: Mapping[str, Block], path: str) -> dict[str, str]:
    """Provider sources by local name, as the files of one folder declare them."""
    folder = PurePosixPath(path).parent
    found: dict[str, str] = {}
    for other, file in files.items():
        if PurePosixPath(other).parent != folder:
            continue
        for block in file.walk():
            if block.type == "required_providers":
                found |= {name: _declared_source(name, node) for name, node in block.attributes.items()}
    return found


def _declared_source(name: str, node: Node) -> str:
    for key, value in zip(node.parts[::2], node.parts[1::2], strict=False):
        if key.value in {("source",), "source"} and value.kind == "literal":
            return provider_source(str(value.value))
    return f"hashicorp/{name}"


def _providers(file: Block, sources: Mapping[str, str], allow: Allow) -> Iterator[tuple[int, str]]:
    allowed = allowed_providers(allow)
    for block in file.walk():
        used: list[str] = []
        if block.type in {"resource", "data", "ephemeral"} and len(block.labels) == 2:  # noqa: PLR2004 - type and name
            used = [_provider_of(block, sources)]
        elif block.type == "required_providers":
            used = [_declared_source(name, node) for name, node in block.attributes.items()]
        for source in used:
            if source not in allowed:
                yield block.line, f"provider {source} is not on the allow-list (offer.yaml: allow.providers)"


def _provider_of(block: Block, sources: Mapping[str, str]) -> str:
    given = block.attributes.get("provider")
    name = given.value[0] if given is not None and given.kind == "name" else block.labels[0].split("_")[0]
    return BUILTIN if name == "terraform" else sources.get(name, f"hashicorp/{name}")
