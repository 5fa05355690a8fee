import pytest

from opsplatform.catalog.hcl import HclError, read_file
from opsplatform.catalog.introspect import outputs_of, variables_of
from opsplatform.catalog.types import schema_of


def schema(text):
    return schema_of(read_file(f"x = {text}\n".encode()).attributes["x"])


def variable(body):
    return variables_of(read_file(f'variable "v" {{\n{body}\n}}\n'.encode()).blocks)["v"]


STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("string", STRING),
        ("number", {"type": "number"}),
        ("bool", {"type": "boolean"}),
        ("any", {}),
        ("list(string)", {"type": "array", "items": STRING}),
        ("set(number)", {"type": "array", "items": {"type": "number"}, "uniqueItems": True}),
        ("map(list(string))", {"type": "object", "additionalProperties": {"type": "array", "items": STRING}}),
        ("list", {"type": "array"}),
        (
            "tuple([string, bool])",
            {
                "type": "array",
                "prefixItems": [STRING, {"type": "boolean"}],
                "items": False,
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (
            'object({ # x\n a=string\n "b" = optional(number, 3)\n c = optional(map(string), {}), d = optional(bool)})',
            {
                "type": "object",
                "properties": {
                    "a": STRING,
                    "b": {"type": "number", "default": 3},
                    "c": {"type": "object", "additionalProperties": STRING, "default": {}},
                    "d": {"type": "boolean"},
                },
                "required": ["a"],
                "additionalProperties": False,
            },
        ),
    ],
)
def test_a_type_becomes_its_schema(text, expected):
    assert schema(text) == expected


@pytest.mark.parametrize(
    "text",
    ["strin", '"string"', "list(string, string)", "object(string)", "tuple(string)", "f(string)", "optional(string)",
     "object({a = optional()})", "object({a = optional(string, var.x)})", "object({(a.b) = string})", "a.b"],
)  # fmt: skip
def test_what_is_no_type_is_refused(text):
    with pytest.raises(HclError):
        schema(text)


def test_description_default_and_secrecy_are_kept():
    found = variable('type = string\ndescription = " 规格 "\ndefault = "a"\nsensitive = true')

    assert found.schema == {"type": "string", "description": "规格", "default": "a", "writeOnly": True}
    assert not found.required


def test_a_variable_without_type_takes_anything_and_without_default_is_required():
    found = variable("ephemeral = true")

    assert found.schema == {"writeOnly": True, "x-ephemeral": True}
    assert found.required


def test_a_default_may_be_any_constant_and_nothing_else():
    assert variable("default = { a = [1, null, true], b = {} }").schema["default"] == {"a": [1, None, True], "b": {}}
    with pytest.raises(HclError, match="constant"):
        variable("default = timestamp()")


def test_two_variables_of_one_name_are_refused():
    with pytest.raises(HclError, match="name of its own"):
        variables_of(read_file(b'variable "a" {}\nvariable "a" {}\n').blocks)


def test_outputs_say_what_they_mean_and_whether_they_are_secret():
    file = read_file(
        b'output "a" {\n value = 1\n description = "d"\n}\noutput "b" {\n value = 2\n sensitive = true\n}\n'
    )

    assert outputs_of(file.blocks) == {
        "a": {"description": "d", "sensitive": False},
        "b": {"description": "", "sensitive": True},
    }


@pytest.mark.parametrize(
    ("kind", "condition", "expected"),
    [
        ("string", 'contains(["a", "b"], var.v)', {"enum": ["a", "b"]}),
        ("string", 'can(regex("^[a-z]\\\\d$", var.v))', {"pattern": "^[a-z]\\d$", "x-message": "so nicht"}),
        ("number", "var.v >= 1 && 10 > var.v", {"minimum": 1, "exclusiveMaximum": 10}),
        ("number", "floor(var.v) == var.v", {"type": "integer"}),
        ("number", "var.v == ceil(var.v)", {"type": "integer"}),
        ("number", "var.v % 1 == 0", {"type": "integer"}),
        ("string", "length(var.v) > 2 && length(var.v) < 9", {"minLength": 3, "maxLength": 8}),
        ("string", "length(var.v) == 4", {"minLength": 4, "maxLength": 4}),
        ("list(string)", "length(var.v) <= 3", {"maxItems": 3}),
        ("map(string)", "length(var.v) <= 3", {"maxProperties": 3}),
        ("string", 'var.v == null || can(regex("a", var.v))', {"pattern": "a", "x-message": "so nicht"}),
        ("string", "var.v == null ? true : length(var.v) >= 2", {"minLength": 2}),
        ("string", "var.v != null ? length(var.v) >= 2 : true", {"minLength": 2}),
    ],
)
def test_a_validation_narrows_the_schema(kind, condition, expected):
    found = variable(f'type = {kind}\nvalidation {{\n condition = {condition}\n error_message = "so nicht"\n}}').schema

    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    "condition",
    ['var.v != "a" || length(var.v) > 3', "!contains(var.other, var.v)", "can(cidrhost(var.v, 0))",
     'can(regex("\\\\pL", var.v))', 'can(regex("(", var.v))', "contains(var.other, var.v)", "var.other >= 3",
     "can(regex(var.other, var.v))", "length(var.v) >= var.other", "alltrue([for x in var.other : x > 1])",
     "var.v.inner.deeper >= 1"],
)  # fmt: skip
def test_a_validation_that_is_not_understood_is_left_to_terraform(condition):
    found = variable(f'type = string\nvalidation {{\n condition = {condition}\n error_message = "m"\n}}').schema

    assert found == {"type": "string"}


def test_a_validation_reaches_into_objects_lists_and_maps():
    found = variable("""
      type = object({ a = optional(number), l = list(object({ s = string })), m = map(number) })
      validation {
        condition = var.v.a <= 5 && alltrue([for one in var.v.l : length(one.s) <= 7])
        error_message = "m"
      }
      validation {
        condition = alltrue([for k, x in var.v.m : can(regex("^k", k)) && x > 0])
        error_message = "m"
      }
    """).schema["properties"]

    assert found["a"]["maximum"] == 5
    assert found["l"]["items"]["properties"]["s"]["maxLength"] == 7
    assert found["m"]["propertyNames"]["pattern"] == "^k"
    assert found["m"]["additionalProperties"]["exclusiveMinimum"] == 0
