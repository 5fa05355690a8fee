"""Inputs become a form that DingTalk takes, and the form that comes back orders the same inputs."""

from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsplatform.adapters.dingtalk import DingTalk
from opsplatform.catalog import service
from opsplatform.catalog.offers import FormField
from opsplatform.catalog.texts import normalise
from opsplatform.core.db import transaction
from opsplatform.core.errors import Conflict, InvalidParams, NotFound
from opsplatform.simulator import seed
from opsplatform.simulator.client import Simulator
from opsplatform.simulator.server import create_simulator, running

PROCESS_CODE = "PROC-EVERYTHING"
# Input: its Terraform type, its entry on the form (without the label, which is the same), its component in DingTalk.
INPUTS = {
    "text": ("string", {"component": "TextField-text"}, {"id": "TextField-text"}),
    "area": ("string", {"type": "TextareaField", "biz_alias": "area-alias"}, {"biz_alias": "area-alias"}),
    "lines": ("list(string)", {"type": "TextareaField"}, {}),
    "list_in_text": ("list(string)", {}, {}),
    "numbers": ("list(number)", {"type": "TextareaField"}, {}),
    "structure": ("object({ a = string, b = list(number) })", {"type": "TextareaField"}, {}),
    "yes_in_text": ("bool", {}, {}),
    "number": ("number", {"type": "NumberField"}, {}),
    "money": ("number", {"type": "MoneyField"}, {}),
    "size": (
        "string",
        {
            "label": "规格（必填）",
            "type": "DDSelectField",
            "options": {"小（2核）": "small", "大": "large", "option_1": "large"},
        },
        {"options": ["小（2核）", "大", "tiny"]},
    ),
    "cores": ("number", {"type": "DDSelectField"}, {"options": ["1", "2", "2.5"]}),
    "yes": ("bool", {"type": "DDSelectField"}, {"options": ["是", "否"]}),
    "switch": (
        "bool",
        {"type": "DDSelectField", "options": {"开启": True, "不开": False}},
        {"options": ["开启", "不开"]},
    ),
    "zones": ("set(string)", {"type": "DDMultiSelectField", "options": {"一区": "a"}}, {"options": ["一区", "b", "c"]}),
    "day": ("string", {"type": "DDDateField"}, {}),
    "days": ("list(string)", {"type": "DDDateRangeField"}, {}),
    "span": ("object({ from = string, to = string })", {"type": "DDDateRangeField"}, {}),
    "phone": ("string", {"type": "PhoneField"}, {}),
    "owner": ("string", {"type": "InnerContactField"}, {}),
    "owners": ("list(string)", {"type": "InnerContactField"}, {}),
    "department": ("number", {"type": "DepartmentField"}, {}),
    "departments": ("list(string)", {"type": "DepartmentField"}, {}),
    "address": ("string", {"type": "AddressField"}, {}),
    "tags": ("map(string)", {"type": "TableField"}, {"children": [("TextField", "键"), ("TextField", "值")]}),
    "weights": (
        "map(number)",
        {"type": "TableField", "columns": {"key": "TextField-w", "value": "重量（克）"}},
        {"children": [("TextField", "名称", "TextField-w"), ("NumberField", "重量（克）")]},
    ),
    "disks": (
        'list(object({ name = string, size = optional(number), note = optional(string, ""), fast = optional(bool) }))',
        {"type": "TableField", "columns": {"name": "名称", "size": "大小"}},
        {
            "children": [
                ("TextField", "名称"),
                ("NumberField", "大小"),
                ("TextField", "note"),
                ("DDSelectField", "fast"),
            ]
        },
    ),
    "hosts": (
        "list(string)",
        {"type": "TableField", "columns": {"host": "主机"}},
        {"children": [("TextField", "主机")]},
    ),
}
TEXTS = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
    .map(normalise)
    .filter(lambda text: text not in {"", "null"})
)
KEYS = TEXTS
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(-1e15, 1e15).map(lambda x: round(x, 6)) | st.just(1e-7)
DATES = st.dates().map(str) | st.datetimes().map(lambda at: at.isoformat(" ", "minutes"))
DATE_PAIRS = st.lists(DATES, min_size=2, max_size=2)
USERIDS = st.sampled_from(["manager1", "zhangsan", "lisi"])
DISK = st.fixed_dictionaries(
    {"name": TEXTS},
    optional={"size": NUMBERS, "note": TEXTS, "fast": st.booleans()},
)
VALUES = {
    "text": TEXTS,
    "area": TEXTS,
    "lines": st.lists(st.text(max_size=10).filter(lambda text: "\0" not in text).map(normalise), max_size=4),
    "list_in_text": st.lists(TEXTS, max_size=4),
    "numbers": st.lists(NUMBERS, max_size=4),
    "structure": st.fixed_dictionaries({"a": TEXTS | st.just(""), "b": st.lists(NUMBERS, max_size=3)}),
    "yes_in_text": st.booleans(),
    "number": NUMBERS,
    "money": NUMBERS,
    "size": st.sampled_from(["small", "large", "tiny"]),
    "cores": st.sampled_from([1, 2, 2.5]),
    "yes": st.booleans(),
    "switch": st.booleans(),
    "zones": st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, unique=True),
    "day": DATES,
    "days": DATE_PAIRS,
    "span": DATE_PAIRS.map(lambda pair: dict(zip(("from", "to"), pair, strict=True))),
    "phone": st.from_regex(r"\+?[0-9]{5,15}", fullmatch=True).map(normalise),
    "owner": USERIDS,
    "owners": st.lists(USERIDS, min_size=1, max_size=3),
    "department": st.sampled_from([1, 2, 3]),
    "departments": st.lists(st.sampled_from(["1", "2", "3"]), min_size=1, max_size=3),
    "address": TEXTS,
    "tags": st.dictionaries(KEYS, TEXTS | st.just(""), min_size=1, max_size=4),
    "weights": st.dictionaries(KEYS, NUMBERS, min_size=1, max_size=4),
    "disks": st.lists(DISK, min_size=1, max_size=3),
    "hosts": st.lists(TEXTS, min_size=1, max_size=4),
}


def variables_file(types):
    return "\n".join(f'variable "{name}" {{\n  type = {kind}\n  default = null\n}}' for name, kind in types.items())


def offer_of(entries, more=""):
    import json

    form = {name: {"label": name, **entry} for name, entry in entries.items()}
    return (
        f"title: {{zh: 测试}}\nprocess_code: {PROCESS_CODE}\nform: {json.dumps(form, ensure_ascii=False)}\n"
        "environments: [test, prod]\nenvironment_field: {label: 环境, options: {生产（正式）: prod}}\n" + more
    )


def components():
    for name, (_type, entry, component) in INPUTS.items():
        children = [
            {"id": own[0] if own else f"{kind}-{label}", "label": label, "type": kind, "options": ["是", "否"]}
            for kind, label, *own in component.get("children", ())
        ]
        made = {
            "id": f"c-{name}",
            "label": entry.get("label", name),
            "type": entry.get("type", "TextField"),
            **component,
        }
        yield {**made, "children": children}
    yield {"id": "env", "label": "环境", "type": "DDSelectField", "options": ["test", "生产（正式）"]}


@pytest.fixture
def everything(catalogue):
    """A module with an input of every kind, and a DingTalk with its form."""
    entries = {name: entry for name, (_type, entry, _component) in INPUTS.items()}
    catalogue.module(
        "everything",
        variables_file({name: kind for name, (kind, _entry, _component) in INPUTS.items()}),
        offer_of(entries),
    )
    with running(create_simulator()) as url:
        Simulator(url).add_template("一切", list(components()), process_code=PROCESS_CODE)
        dingtalk = DingTalk(oapi_url=url, api_url=url, app_key=seed.APP_KEY, app_secret=seed.APP_SECRET)

        def order(inputs, environment=None):
            form = service.fill_form("everything", inputs, environment)
            instance_id = dingtalk.create_instance("zhangsan", form.process_code, 2, form.values)
            return service.resolve(service.template_of(form.process_code), dingtalk.get_instance(instance_id).values)

        yield SimpleNamespace(order=order)


@pytest.mark.parametrize("name", INPUTS)
def test_every_kind_of_component_says_in_dingtalk_what_was_asked(everything, name):
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(VALUES[name])
    def check(value):
        order = everything.order({name: value})

        assert order.variables == {name: value}
        assert order.environment == "test"

    check()


def test_all_of_a_form_at_once_with_the_environment_it_chooses(everything):
    inputs = {
        "text": "web-01",
        "lines": ["10.0.0.0/8", "1.1.1.1"],
        "number": 10,
        "size": "small",
        "zones": ["a", "b"],
        "owners": ["zhangsan", "lisi"],
        "tags": {"team": "ops", "empty": ""},
        "disks": [{"name": "data", "size": 40}, {"name": "logs", "fast": True}],
    }

    order = everything.order(inputs, "prod")

    assert order.variables == inputs
    assert order.environment == "prod"


def test_what_is_null_or_equal_to_an_empty_default_is_left_out(catalogue):
    catalogue.module(
        "bucket",
        'variable "prefix" {\n  type = string\n  default = ""\n}\n'
        'variable "tags" {\n  type = map(string)\n  default = {}\n}\n'
        'variable "rules" {\n  type = list(object({ id = string, prefix = optional(string, "") }))\n  default = []\n}\n'
        'variable "key" {\n  type = string\n  default = null\n}\n',
        offer_of({"prefix": {}, "tags": {"type": "TableField"}, "rules": {"type": "TableField"}, "key": {}}),
    )

    empty = service.fill_form("bucket", {"prefix": "", "tags": {}, "rules": [], "key": None})
    rows = service.fill_form("bucket", {"rules": [{"id": "a", "prefix": ""}]})

    assert empty.values == [{"name": "环境", "value": "test"}]
    assert rows.values[0] == {"name": "rules", "value": '[[{"name": "id", "value": "a"}]]'}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", ""),
        ("text", "null"),
        ("lines", ["x" * 40_000] * 2),
        ("number", 10**40),
        ("area", "  "),
        ("tags", {}),
        ("tags", {"": "x"}),
        ("tags", {"a": "null"}),
        ("hosts", []),
        ("hosts", ["a", ""]),
        ("disks", [{"name": ""}]),
        ("day", "27.5.2025"),
        ("day", "2025-02-30"),
        ("days", ["2025-05-27"]),
        ("days", ["2025-05-27", "2025-05-28", "2025-05-29"]),
        ("owners", []),
        ("departments", ["1,2"]),
        ("zones", ["一区"]),
    ],
)
def test_what_a_form_cannot_say_is_refused_and_never_bent(everything, name, value):
    with pytest.raises(InvalidParams) as refused:
        service.fill_form("everything", {name: value, "phone": "12345"})

    assert list(refused.value.errors) == [f"variables.{name}"]
    (sentence,) = refused.value.errors[f"variables.{name}"]
    assert "表单不能原样表达" in sentence
    assert "the form cannot say this value" in sentence


def test_every_input_that_does_not_fit_is_named_at_once(everything):
    with pytest.raises(InvalidParams) as refused:
        service.fill_form(
            "everything",
            {"number": "ten", "nothing": 1, "text": "a\0b", "disks": [{"size": 1}], "hosts": []},
            "moon",
        )

    assert set(refused.value.errors) == {
        "variables.number",
        "variables.nothing",
        "variables.text",
        "variables.disks",
        "variables.hosts",
        "environment",
    }


def test_a_typed_value_is_cleaned_as_on_a_form(everything):
    assert everything.order({"text": " ｗｅｂ-01 "}).variables == {"text": "web-01"}


def test_an_input_without_a_component_cannot_be_ordered_by_form(catalogue):
    catalogue.module("plain", variables_file({"a": "string", "b": "string"}), offer_of({"a": {}}))

    with pytest.raises(InvalidParams) as refused:
        service.fill_form("plain", {"a": "x", "b": "y"})

    assert list(refused.value.errors) == ["variables.b"]
    assert "表单里没有它的控件" in refused.value.errors["variables.b"][0]


def test_without_a_component_for_it_only_the_default_environment_can_be_chosen(catalogue):
    catalogue.module(
        "plain",
        variables_file({"a": "string"}),
        f"title: {{zh: 测试}}\nprocess_code: {PROCESS_CODE}\nform: {{a: {{label: a}}}}\nenvironments: [test, prod]\n",
    )

    chosen = service.fill_form("plain", {"a": "x"}, "test")
    with pytest.raises(InvalidParams) as refused:
        service.fill_form("plain", {"a": "x"}, "prod")

    assert chosen.values == [{"name": "a", "value": "x"}]
    assert refused.value.errors == {"environment": ["只能是 test / must be test"]}


def test_a_binding_says_where_the_inputs_stand_and_ids_are_told_from_labels(catalogue):
    catalogue.module("plain", variables_file({"a": "string", "b": "string"}), offer_of({"a": {}}))
    with transaction():
        service.bind("plain", "PROC-BOUND", {"a": "TextField_1XO0", "b": "备注（选填）"}, "root")

    form = service.fill_form("plain", {"a": "x", "b": "y"})
    elsewhere = service.fill_form("plain", {"a": "x"}, "prod")

    assert form.process_code == "PROC-BOUND"
    assert form.values == [
        {"id": "TextField_1XO0", "name": "a", "value": "x"},
        {"name": "备注（选填）", "value": "y"},
    ]
    assert elsewhere.values[-1] == {"name": "环境", "value": "生产（正式）"}


def test_an_option_whose_label_nobody_wrote_down_is_refused(catalogue):
    entry = {"type": "DDSelectField", "options": {"option_2": "large"}}
    catalogue.module("plain", variables_file({"size": "string"}), offer_of({"size": entry}))

    with pytest.raises(InvalidParams) as refused:
        service.fill_form("plain", {"size": "large"})

    assert "names the key of this option" in refused.value.errors["variables.size"][0]


def test_a_label_that_stands_for_another_value_is_not_sent(catalogue):
    entry = {"type": "DDSelectField", "options": {"large": "small"}}
    catalogue.module("plain", variables_file({"size": "string"}), offer_of({"size": entry}))

    with pytest.raises(InvalidParams):
        service.fill_form("plain", {"size": "large"})


def test_modules_that_no_form_orders_say_what_to_do(catalogue):
    catalogue.module("unbound", variables_file({"a": "string"}))
    catalogue.module("broken", 'variable "a" {', None)

    with pytest.raises(NotFound):
        service.fill_form("missing", {})
    with pytest.raises(Conflict, match=r"module\.bind"):
        service.fill_form("unbound", {"a": "x"})
    with pytest.raises(Conflict, match="cannot be used"):
        service.fill_form("broken", {"a": "x"})


@pytest.mark.parametrize("name", ["demo-server", "demo-fleet"])
def test_the_shipped_modules_can_be_ordered_from_here(shipped, name):
    inputs = {
        "demo-server": {"name": "web-01", "size": "small", "tags": {"team": "ops"}},
        "demo-fleet": {"name": "f", "count": 3},
    }

    form = service.fill_form(name, inputs[name])

    assert [value["value"] for value in form.values][:2] == list(map(str, inputs[name].values()))[:2]
    assert all(set(value) == {"id", "name", "value"} for value in form.values)


def test_every_type_of_component_an_offer_may_name_is_tried_here():
    from typing import get_args

    from opsplatform.catalog.offers import ComponentType

    tried = {entry.get("type", FormField(label="x").type) for _type, entry, _component in INPUTS.values()}

    assert tried == set(get_args(ComponentType))
