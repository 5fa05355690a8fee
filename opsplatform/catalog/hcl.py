"""Terraform files as a small tree of blocks and expressions; the only module that knows python-hcl2.

The library takes most of a second and some memory to load, so that happens when the first file is read.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lark import Token, Tree

    _Branch = Tree[Token]

MAX_FILE_CHARACTERS = 1_000_000
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_SIMPLE_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_HEREDOC = re.compile(r"<<(-?)\S+\r?\n(.*?)[ \t]*\S+\r?\n?\Z", re.DOTALL)


class HclError(Exception):
    """A file is not HCL, or says something that cannot be read; `line` says where."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


@dataclass(frozen=True)
class Node:
    """One expression.

    Kinds: `literal` (value), `name` (value is the path: var.a.b), `call` (value is the function, parts its arguments),
    `list`, `object` (parts alternate key and value), `operation` (value is the operator), `for` (value holds the
    names, parts the source and what is made of it), `template` (value is text that was not taken apart), `other`.
    """

    kind: str
    line: int
    value: Any = None
    parts: tuple["Node", ...] = ()

    def walk(self) -> Iterator["Node"]:
        """This expression and every one inside it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.parts))


@dataclass(frozen=True)
class Block:
    """One block: `resource "terraform_data" "this" { … }`."""

    type: str
    labels: tuple[str, ...]
    line: int
    attributes: dict[str, Node] = field(default_factory=dict)
    blocks: tuple["Block", ...] = ()

    def walk(self) -> Iterator["Block"]:
        """This block and every one inside it."""
        waiting = [self]
        while waiting:
            block = waiting.pop()
            yield block
            waiting.extend(reversed(block.blocks))


def read_file(content: bytes) -> Block:
    """The file as one block of type `file`, or HclError."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise HclError(1, "the file is not UTF-8") from None
    if len(text) > MAX_FILE_CHARACTERS:
        raise HclError(1, f"the file is longer than {MAX_FILE_CHARACTERS:,} characters")
    try:
        return _file(_parse(text))
    except RecursionError:
        raise HclError(1, "the file is nested too deeply") from None


def _parse(text: str) -> "_Branch":
    from hcl2 import parses_to_tree  # noqa: PLC0415 - heavy, and needed only when a module is new
    from lark.exceptions import LarkError  # noqa: PLC0415 - comes with it

    try:
        return parses_to_tree(text)
    except LarkError as error:
        line, last = getattr(error, "line", 0), text.count("\n") + 1
        raise HclError(line if 0 < line <= last else last, "this is not valid HCL") from None


def _file(tree: "_Branch") -> Block:
    body = next(child for child in _trees(tree) if child.data == "body")
    attributes, blocks = _body(body)
    return Block("file", (), 1, attributes, blocks)


def _body(tree: "_Branch") -> tuple[dict[str, Node], tuple[Block, ...]]:
    attributes: dict[str, Node] = {}
    blocks: list[Block] = []
    for child in _trees(tree):
        if child.data == "block":
            blocks.append(_block(child))
            continue
        name, expression = _trees(child)
        attributes[_word(name)] = _expression(expression)
    return attributes, tuple(blocks)


def _block(tree: "_Branch") -> Block:
    *words, body = _trees(tree)
    attributes, blocks = _body(body)
    return Block(_word(words[0]), tuple(_word(word) for word in words[1:]), tree.meta.line, attributes, blocks)


def _word(tree: "_Branch") -> str:
    """A bare or quoted name."""
    if tree.data != "string":
        return str(tree.children[0])
    node = _string(tree)
    if node.kind != "literal":
        raise HclError(node.line, "a block label must be plain text")
    return str(node.value)


def _expression(tree: "_Branch") -> Node:
    """Any expression; what has no reader of its own becomes `other` and keeps its parts."""
    reader = _READERS.get(str(tree.data))
    if reader is not None:
        return reader(tree)
    parts = tuple(_expression(child) for child in _trees(tree))
    return parts[0] if tree.data == "expr_term" and len(parts) == 1 else Node("other", _line(tree), None, parts)


def _identifier(tree: "_Branch") -> Node:
    return Node("name", _line(tree), (str(tree.children[0]),))


def _number(tree: "_Branch") -> Node:
    text = str(tree.children[0])
    return Node("literal", _line(tree), int(text) if tree.data == "int_lit" else float(text))


def _constant(tree: "_Branch") -> Node:
    return Node("literal", _line(tree), {"true": True, "false": False, "null": None}[str(tree.children[0])])


def _string(tree: "_Branch") -> Node:
    parts: list[Node] = []
    text = ""
    for part in _trees(tree):
        child = part.children[0]
        if not isinstance(child, str):
            parts.append(_expression(child))
        elif child.type in {"ESCAPED_INTERPOLATION", "ESCAPED_DIRECTIVE"}:
            text += str(child)[1:]
        else:
            text += _unescape(str(child))
    return Node("template" if parts else "literal", _line(tree), text, tuple(parts))


def _raw_template(tree: "_Branch") -> Node:
    return Node("template", _line(tree), str(tree.children[0]))


def _heredoc(tree: "_Branch") -> Node:
    raw = str(tree.children[0])
    match = _HEREDOC.match(raw)
    if match is None or "${" in raw or "%{" in raw:
        return Node("template", _line(tree), raw)
    return Node("literal", _line(tree), textwrap.dedent(match[2]) if match[1] else match[2])


def _call(tree: "_Branch") -> Node:
    words = [_word(child) for child in _trees(tree) if child.data == "identifier"]
    arguments = [child for child in _trees(tree) if child.data == "arguments"]
    parts = tuple(_expression(child) for child in _trees(arguments[0])) if arguments else ()
    return Node("call", _line(tree), "::".join(words), parts)


def _attribute_access(tree: "_Branch") -> Node:
    base, access = (_trees(tree)[0], _trees(tree)[1])
    node = _expression(base)
    if node.kind == "name":
        return Node("name", node.line, (*node.value, _word(_trees(access)[0])))
    return Node("other", node.line, None, (node,))


def _list(tree: "_Branch") -> Node:
    return Node("list", _line(tree), None, tuple(_expression(child) for child in _trees(tree)))


def _object(tree: "_Branch") -> Node:
    parts: list[Node] = []
    for element in _trees(tree):
        key, value = _trees(element)
        parts += (_expression(_trees(key)[0]), _expression(value))
    return Node("object", _line(tree), None, tuple(parts))


def _binary(tree: "_Branch") -> Node:
    left, term = _trees(tree)
    operator, right = _trees(term)
    return Node("operation", _line(tree), str(operator.children[0]).strip(), (_expression(left), _expression(right)))


def _unary(tree: "_Branch") -> Node:
    operand = _expression(_trees(tree)[0])
    operator = str(tree.children[0])
    if operator == "-" and operand.kind == "literal" and isinstance(operand.value, int | float):
        return Node("literal", operand.line, -operand.value)
    return Node("operation", _line(tree), operator, (operand,))


def _conditional(tree: "_Branch") -> Node:
    return Node("operation", _line(tree), "?", tuple(_expression(child) for child in _trees(tree)))


def _for(tree: "_Branch") -> Node:
    intro, *rest = _trees(tree)
    *names, source = _trees(intro)
    parts = (_expression(source), *(_expression(child) for child in rest))
    return Node("for", _line(tree), tuple(_word(name) for name in names), parts)


def _trees(tree: "_Branch") -> list["_Branch"]:
    """What is inside, without punctuation and comments."""
    return [child for child in tree.children if not isinstance(child, str) and child.data != "new_line_or_comment"]


def _line(tree: "_Branch") -> int:
    return getattr(tree.meta, "line", 1)


def _unescape(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        if not code:
            return _SIMPLE_ESCAPES.get(match[3], match[3])
        point = int(code, 16)
        return chr(point) if point <= 0x10FFFF and not 0xD800 <= point <= 0xDFFF else match[0]  # noqa: PLR2004

    return _ESCAPE.sub(replace, text)


_READERS = {
    "identifier": _identifier,
    "keyword": _identifier,
    "int_lit": _number,
    "float_lit": _number,
    "literal_value": _constant,
    "string": _string,
    "template_string": _raw_template,
    "heredoc_template": _heredoc,
    "heredoc_template_trim": _heredoc,
    "function_call": _call,
    "get_attr_expr_term": _attribute_access,
    "tuple": _list,
    "object": _object,
    "binary_op": _binary,
    "unary_op": _unary,
    "conditional": _conditional,
    "for_tuple_expr": _for,
    "for_object_expr": _for,
}
