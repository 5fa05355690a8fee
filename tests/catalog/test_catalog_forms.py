import json
import unicodedata
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsplatform.adapters.dingtalk_values import FormValue
from opsplatform.catalog.forms import find_component, read_component
from opsplatform.catalog.offers import FormField
from opsplatform.catalog.texts import Mismatch

STRING = {"type": "string"}
STRINGS = {"type": "array", "items": STRING}
MAP = {"type": "object", "additionalProperties": STRING}
DISKS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"name": STRING, "size": {"type": "number"}, "kind": STRING},
        "required": ["name"],
        "additionalProperties": False,
    },
}
EMPTY_TABLE = json.dumps(
    [{"componentName": "TextField", "componentType": "TextField", "props": {"id": "TextField-1", "label": "键"}}]
)


def form_value(name, value, kind="TextField", *, own_id=None, ext=None, alias=None):
    return FormValue(own_id or name, name, value, ext, kind, alias)


def read(kind, value, schema, *, ext=None, entry=None):
    return read_component(form_value("字段", value, kind, ext=ext), schema, entry)


def table(*rows):
    return json.dumps(
        [
            {
                "rowNumber": "TableField_1",
                "rowValue": [
                    {"componentType": kind, "label": label, "value": value, "key": f"{kind}-{label}"}
                    for kind, label, value in row
                ],
            }
            for row in rows
        ],
        ensure_ascii=False,
    )


@pytest.mark.parametrize(
    ("kind", "value", "ext", "schema", "expected"),
    [
        ("TextField", " 9：00 ", None, STRING, "9:00"),
        ("TextareaField", "a\nb", None, STRING, "a\nb"),
        ("TextareaField", "10.0.0.0/8\n\n 1.1.1.1 ", None, STRINGS, ["10.0.0.0/8", "1.1.1.1"]),
        ("TextField", '["a", "b"]', None, STRINGS, ["a", "b"]),
        ("TextField", '{"a": "b"}', None, MAP, {"a": "b"}),
        ("TextField", '[{"name": "a"}]', None, DISKS, [{"name": "a"}]),
        ("NumberField", "10", None, {"type": "integer"}, 10),
        ("NumberField", "10.00", None, {"type": "integer"}, 10),
        ("NumberField", "１０", None, {"type": "number"}, 10),
        ("NumberField", "-9.5", None, {"type": "number"}, -9.5),
        ("NumberField", "10", None, STRING, "10"),
        ("MoneyField", "9.99", '{"upper":"玖元"}', {"type": "number"}, 9.99),
        ("DDSelectField", "是", None, {"type": "boolean"}, True),
        ("DDSelectField", "No", None, {"type": "boolean"}, False),
        ("DDSelectField", "small", '{"label":"small","key":"option_0"}', STRING, "small"),
        ("DDSelectField", "4", None, {"type": "number"}, 4),
        ("DDMultiSelectField", '["a","b"]', '[{"label":"a","key":"k0"}]', STRINGS, ["a", "b"]),
        ("DDMultiSelectField", '["a"]', None, STRING, "a"),
        ("DDDateField", "2025-05-27", None, STRING, "2025-05-27"),
        ("DDDateField", "2025-05-27 10:00", None, STRING, "2025-05-27 10:00"),
        ("DDDateRangeField", '["2022-02-25","2022-02-26",null]', None, STRINGS, ["2022-02-25", "2022-02-26"]),
        (
            "DDDateRangeField",
            '["2022-02-25","2022-02-26"]',
            None,
            {"type": "object", "properties": {"from": STRING, "to": STRING}},
            {"from": "2022-02-25", "to": "2022-02-26"},
        ),
        ("PhoneField", "15500003240", None, STRING, "15500003240"),
        ("InnerContactField", "肖有为", '[{"emplId":"2059","name":"肖有为"}]', STRING, "2059"),
        ("InnerContactField", "肖、李", '[{"emplId":"1"},{"emplId":"2"}]', STRINGS, ["1", "2"]),
        ("DepartmentField", "测试", '{"deptName":"测试","itemId":"42"}', STRING, "42"),
        ("DepartmentField", "测试", '[{"id":42,"name":"测试"}]', {"type": "number"}, 42),
        ("AddressField", "北京,北京市,东城区", None, STRING, "北京,北京市,东城区"),
        ("SomeNewField", "x", None, STRING, "x"),
        ("TextNote", "static", None, STRING, None),
        ("TextField", "anything", None, {}, "anything"),
        ("TableField", EMPTY_TABLE, None, MAP, None),
        ("TableField", "[]", None, MAP, None),
    ],
)
def test_each_kind_of_component_becomes_what_the_input_wants(kind, value, ext, schema, expected):
    found = read(kind, value, schema, ext=ext)

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("kind", ["TextField", "NumberField", "DDSelectField", "TableField", "DDPhotoField"])
@pytest.mark.parametrize("value", [None, "", "  ", "null", " null "])
def test_an_unset_field_is_unset_in_every_way_dingtalk_says_it(kind, value):
    assert read(kind, value, STRING) is None


@pytest.mark.parametrize(
    ("kind", "value", "ext", "schema"),
    [
        ("NumberField", "ten", None, {"type": "number"}),
        ("NumberField", "1e999", None, {"type": "number"}),
        ("NumberField", "1_0", None, {"type": "integer"}),
        ("NumberField", "9" * 31, None, {"type": "number"}),
        ("NumberField", "NaN", None, {"type": "number"}),
        ("DDSelectField", "maybe", None, {"type": "boolean"}),
        ("DDMultiSelectField", "a", None, STRINGS),
        ("DDMultiSelectField", '["a","b"]', None, STRING),
        ("DDDateField", "2025-02-30", None, STRING),
        ("DDDateField", "27.5.2025", None, STRING),
        ("DDDateField", "2025-05-27T10:00", None, STRING),
        ("DDDateRangeField", '["2025-05-27"]', None, STRINGS),
        ("DDDateRangeField", '["2025-05-27","x"]', None, STRINGS),
        ("InnerContactField", "肖有为", None, STRING),
        ("InnerContactField", "肖、李", '[{"emplId":"1"},{"emplId":"2"}]', STRING),
        ("DepartmentField", "测试", "{", STRING),
        ("DDAttachment", '[{"fileName":"a"}]', None, STRING),
        ("DDPhotoField", '["https://a"]', None, STRINGS),
        ("RelateField", '["x"]', None, STRINGS),
        ("TextField", "{", None, MAP),
        ("TextField", "[]", None, MAP),
        ("TextField", '{"a": NaN', None, MAP),
        ("TextField", '{"a": 1e999}', None, {"type": "object"}),
        ("TextField", '["\\u0000"]', None, STRINGS),
        ("TextField", '["\\ud800"]', None, STRINGS),
        ("TextField", "[" * 60_000, None, STRINGS),
        ("TextField", "not a list", None, DISKS),
        ("TextField", "a\0b", None, STRING),
        ("TextField", "\ud800", None, STRING),
        ("TextField", "x" * 65_536, None, STRING),
        ("TextField", "\ufdfa" * 10_000, None, STRING),
        ("TableField", "x", None, MAP),
        ("TableField", table([("TextField", "键", "a")]), None, STRING),
        ("TableField", table([("TextField", "值", "a")]), None, MAP),
        ("TableField", table([("TextField", "键", "a")], [("TextField", "键", "a")]), None, MAP),
        ("TableField", table([("TextField", "a", "1"), ("TextField", "b", "2")]), None, STRINGS),
        ("TableField", json.dumps([{"rowValue": []}] * 1001), None, MAP),
    ],
)
def test_what_does_not_fit_is_refused_in_both_languages_without_repeating_it(kind, value, ext, schema):
    with pytest.raises(Mismatch) as refused:
        read(kind, value, schema, ext=ext)

    chinese, english = str(refused.value).split(" / ", 1)
    assert any("\u4e00" <= character <= "\u9fff" for character in chinese)
    assert english.isprintable()


def test_options_map_labels_and_the_keys_that_outlive_them():
    entry = FormField(label="规格", type="DDSelectField", options={"小": "small", "option_2": "large"})

    by_label = read("DDSelectField", "小", STRING, entry=entry)
    by_key = read("DDSelectField", "改名了", STRING, ext='{"label":"改名了","key":"option_2"}', entry=entry)
    several = read(
        "DDMultiSelectField",
        '["小","x"]',
        STRINGS,
        ext='[{"label":"小","key":"option_0"},{"label":"x","key":"option_2"}]',
        entry=entry,
    )

    assert (by_label, by_key, several) == ("small", "large", ["small", "large"])


def test_a_table_of_keys_and_values_becomes_a_map():
    rows = table(
        [("TextField", "键", " team "), ("TextField", "值", "ops")],
        [("TextField", "键", "empty")],
        [("TextField", "键", "null"), ("TextField", "值", "null")],
    )

    assert read("TableField", rows, MAP) == {"team": "ops", "empty": ""}


def test_the_offer_says_what_the_columns_are_called():
    entry = FormField(label="标签", type="TableField", columns={"key": "TextField-K", "value": "V"})
    rows = table([("TextField", "K", "a"), ("TextField", "V", "b"), ("TextField", "值", "c")])

    assert read("TableField", rows, MAP, entry=entry) == {"a": "b"}


def test_rows_become_objects_and_empty_cells_are_left_out():
    entry = FormField(label="数据盘", type="TableField", columns={"name": "名称", "size": "NumberField-大小"})
    rows = table(
        [("TextField", "名称", "data"), ("NumberField", "大小", "40"), ("DDSelectField", "kind", "essd")],
        [("TextField", "名称", "logs"), ("NumberField", "大小", "")],
    )

    assert read("TableField", rows, DISKS, entry=entry) == [
        {"name": "data", "size": 40, "kind": "essd"},
        {"name": "logs"},
    ]


def test_a_table_of_one_column_becomes_a_list():
    assert read("TableField", table([("TextField", "地址", "a")], [("TextField", "地址", "b")]), STRINGS) == ["a", "b"]


def test_a_row_that_is_no_row_is_passed_over():
    rows = json.dumps([1, {"rowValue": "x"}, {"rowValue": [1, {"label": "键", "value": 5}]}])

    assert read("TableField", rows, MAP) == {"5": ""}


def test_a_component_is_found_by_id_then_alias_then_label():
    first = form_value("名称", "1", own_id="TextField_1")
    second = form_value("TextField_1", "2", own_id="x", alias="名称")
    third = form_value("规格", "3", own_id="z")

    assert find_component("TextField_1", [second, first]) is first
    assert find_component("名称", [first, second]) is second
    assert find_component("规格", [first, second, third]) is third
    assert find_component("别的", [first, second]) is None


def test_two_components_of_one_name_are_not_guessed_between():
    with pytest.raises(Mismatch, match="more than one"):
        find_component("名称", [form_value("名称", "1", own_id="a"), form_value("名称", "2", own_id="b")])


HOSTILE = ["$(rm -rf /)", "${var.x}", "%{if true}x%{endif}", "`id`", "'; DROP TABLE x; --", "a\nb\r\nc", "😀" * 10,
           "x" * 10_240, '"}{', "../../etc/passwd", "\u202eabc", "$${a}"]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_ever_data(text):
    assert read("TextField", text, STRING) == text
    assert read("TableField", table([("TextField", "键", text), ("TextField", "值", text)]), MAP) == {text: text}


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200))
def test_any_text_survives_apart_from_normalising_and_trimming(text):
    expected = unicodedata.normalize("NFKC", text).strip()

    assert (read("TextField", text, STRING) or "") == ("" if expected == "null" else expected)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["TextField", "NumberField", "DDMultiSelectField", "DDDateRangeField", "TableField"]),
    st.one_of(st.text(max_size=50), st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5),
              lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                  st.sampled_from(["rowValue", "label", "key", "value", "x"]), inner, max_size=3)).map(json.dumps)),
    st.sampled_from([STRING, STRINGS, MAP, DISKS, {}, {"type": "integer"}, {"type": "boolean"}]),
)  # fmt: skip
def test_no_value_makes_the_parser_fall_over(kind, value, schema):
    found: object = None
    with suppress(Mismatch):
        found = read(kind, value, schema)

    assert json.loads(json.dumps(found, allow_nan=False)) == found
