import pytest

from opsplatform.catalog.hcl import HclError, read_file


def value_of(text):
    return read_file(f"x = {text}\n".encode()).attributes["x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a\\"b\\n\\u4e2d\\U0001F600"', 'a"b\n中😀'),
        ('"$${a} %%{b}"', "${a} %{b}"),
        ('"中文 😀"', "中文 😀"),
        ("-5", -5),
        ("- 5", -5),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ('"\\ud800"', "\\ud800"),
        ("<<EOT\na\n  b\nEOT", "a\n  b\n"),
        ("<<-EOT\n    a\n      b\n  EOT", "a\n  b\n"),
    ],
)
def test_a_constant_is_read_as_terraform_reads_it(text, value):
    node = value_of(text)

    assert (node.kind, node.value) == ("literal", value)


@pytest.mark.parametrize("text", ['"${var.a}"', "<<EOT\n${var.a}\nEOT", '"%{if true}a%{endif}"'])
def test_text_with_something_to_compute_is_no_constant(text):
    assert value_of(text).kind == "template"


def test_everything_inside_an_expression_is_found():
    node = value_of('{ a = [for k, v in var.m : upper(v) if k != "x"], b = var.c ? -f(1) : g(2)[*].id }')

    assert {part.value for part in node.walk() if part.kind == "call"} == {"upper", "f", "g"}
    assert ("var", "m") in {part.value for part in node.walk() if part.kind == "name"}


def test_a_quoted_text_in_a_directive_is_kept_for_the_gate_to_search():
    node = value_of('"%{ if var.a == \\"b\\" }c%{ endif }"')

    assert any(part.kind == "template" and "b" in part.value for part in node.walk())


def test_blocks_know_their_type_labels_and_line():
    file = read_file(b'# a comment\nresource "a" "b" {\n  nested {\n    x = 1\n  }\n}\n')

    assert [(block.type, block.labels, block.line) for block in file.walk()] == [
        ("file", (), 1),
        ("resource", ("a", "b"), 2),
        ("nested", (), 3),
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a = 1\nb = \n", 2),
        (b'variable "x" {', 1),
        (b"\xff\xfe", 1),
        (b"x = " + b"(" * 4000 + b"1" + b")" * 4000, 1),
        (b'x = "${', 1),
        (b'\n\nresource "${a}" "b" {}\n', 3),
        (b"#" * 1_000_001, 1),
        (b"{" * 100, 1),
    ],
)
def test_what_is_not_hcl_is_refused_with_its_line(content, line):
    with pytest.raises(HclError) as refused:
        read_file(content)

    assert refused.value.line == line
    assert refused.value.text
