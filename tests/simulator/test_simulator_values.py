"""Form values: what goes in and what comes back, as DingTalk's real answers show it."""

import json

import pytest

from opsplatform.simulator import seed
from opsplatform.simulator.values import fill_in
from opsplatform.simulator.world import Component, Refused, World

OPTIONS = ["选项1", "选项2"]
TABLE = Component(
    "Table1",
    "明细",
    "TableField",
    children=[
        Component("t1", "名称", "TextField", required=True),
        Component("t2", "规格", "DDSelectField", options=OPTIONS),
    ],
)


@pytest.fixture
def world():
    return World(app=seed.APP, users=seed.users(), templates=seed.templates(), departments=seed.DEPARTMENTS)


def returned(world, kind, value, **more):
    (item,) = fill_in(
        world, [Component("c1", "标签", kind, options=OPTIONS)], [{"name": "标签", "value": value}], **more
    )
    return item["value"], json.loads(item["extValue"]) if "extValue" in item else None


@pytest.mark.parametrize(
    ("kind", "sent", "value", "ext"),
    [
        ("TextField", "$(rm -rf /)\n😀", "$(rm -rf /)\n😀", None),
        ("NumberField", "10", "10", None),
        ("MoneyField", "9.99", "9.99", {"upper": "", "componentName": "MoneyField"}),
        ("DDSelectField", "选项2", "选项2", {"label": "选项2", "key": "option_1"}),
        ("DDMultiSelectField", '["选项1"]', '["选项1"]', [{"label": "选项1", "key": "option_0"}]),
        ("DDDateField", "2025-05-27 10:00", "2025-05-27 10:00", None),
        ("DDDateRangeField", '["2022-02-25","2022-02-26"]', '["2022-02-25", "2022-02-26", null]', None),
        ("PhoneField", "155", "155", None),
        ("DDPhotoField", '["https://x"]', '["https://x"]', None),
        ("DDAttachment", '[{"fileId":"1","fileSize":"72891"}]', '[{"fileId": "1", "fileSize": 72891}]', None),
        ("DepartmentField", "2,3", "研发部,运维部", [{"id": "2", "name": "研发部"}, {"id": "3", "name": "运维部"}]),
    ],
)
def test_a_value_comes_back_as_dingtalk_spells_it(world, kind, sent, value, ext):
    assert returned(world, kind, sent) == (value, ext)


def test_contacts_come_back_as_names_with_the_ids_in_the_extension_only(world):
    value, ext = returned(world, "InnerContactField", '["zhangsan","lisi"]')

    assert value == "张三,李四"
    assert [person["emplId"] for person in ext] == ["zhangsan", "lisi"]


@pytest.mark.parametrize("kind", ["TextField", "NumberField", "DDSelectField", "DDPhotoField"])
def test_a_field_left_empty_comes_back_as_the_text_null(world, kind):
    assert returned(world, kind, "") == ("null", None)


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("NumberField", "ten"),
        ("NumberField", "NaN"),
        ("MoneyField", "x"),
        ("DDSelectField", "选项3"),
        ("DDMultiSelectField", '["选项3"]'),
        ("DDMultiSelectField", "选项1"),
        ("DDMultiSelectField", "[1]"),
        ("DDDateRangeField", '["2022-02-25"]'),
        ("InnerContactField", '["nobody"]'),
        ("InnerContactField", "zhangsan"),
        ("DepartmentField", "99"),
        ("DDPhotoField", "https://x"),
        ("DDAttachment", '[{"fileSize":"big"}]'),
        ("TextField", "x" * 65536),
        ("TableField", "[" * 100_000),
    ],
)
def test_a_value_of_the_wrong_format_is_refused_by_the_name_of_its_field(world, kind, sent):
    with pytest.raises(Refused) as caught:
        returned(world, kind, sent)

    assert (caught.value.code, "标签" in caught.value.text) == ("formConverterError", True)


def test_an_unchecked_form_takes_what_an_edited_template_would_leave_behind(world):
    required = [Component("c1", "标签", "TextField", required=True)]

    assert returned(world, "DDSelectField", "选项3", checked=False) == ("选项3", None)
    assert fill_in(world, required, [], checked=False)[0]["value"] == "null"


def test_a_required_field_must_be_filled_in(world):
    with pytest.raises(Refused, match="标签"):
        fill_in(world, [Component("c1", "标签", "TextField", required=True)], [])


@pytest.mark.parametrize("item", [{"name": "未知"}, {"id": "c9"}, {"bizAlias": "z"}, {"name": "说明"}])
def test_a_value_for_a_field_that_cannot_take_one_is_refused(world, item):
    components = [Component("c1", "标签", "TextField"), Component("c2", "说明", "TextNote")]

    with pytest.raises(Refused) as caught:
        fill_in(world, components, [{**item, "value": "x"}])

    assert caught.value.code == "illegalComponent"


def test_a_field_is_found_by_id_alias_or_label(world):
    component = Component("c1", "标签", "TextField", biz_alias="alias")

    for item in ({"id": "c1"}, {"bizAlias": "alias"}, {"name": "标签"}):
        (filled,) = fill_in(world, [component], [{**item, "value": "x"}])
        assert (filled["id"], filled["bizAlias"], filled["value"]) == ("c1", "alias", "x")


def test_rows_come_back_with_labels_keys_and_extensions_and_without_empty_cells(world):
    sent = [
        [{"name": "名称", "value": "a"}, {"name": "规格", "value": "选项1"}],
        [{"name": "名称", "value": "b"}],
    ]

    (filled,) = fill_in(world, [TABLE], [{"id": "Table1", "value": json.dumps(sent)}])

    first, second = (row["rowValue"] for row in json.loads(filled["value"]))
    assert [(cell["label"], cell["key"], cell["value"]) for cell in first] == [
        ("名称", "t1", "a"),
        ("规格", "t2", "选项1"),
    ]
    assert first[1]["extendValue"] == {"label": "选项1", "key": "option_0"}
    assert [cell["key"] for cell in second] == ["t1"]
    assert json.loads(filled["extValue"])["componentName"] == "TableField"


@pytest.mark.parametrize("value", [None, "[]"])
def test_an_empty_table_comes_back_as_its_columns(world, value):
    sent = [] if value is None else [{"id": "Table1", "value": value}]

    (filled,) = fill_in(world, [TABLE], sent)

    columns = json.loads(filled["value"])
    assert [column["props"]["label"] for column in columns] == ["名称", "规格"]
    assert not any("rowValue" in column for column in columns)
    assert "extValue" not in filled


@pytest.mark.parametrize("rows", [[{"名称": "a"}], [[{"名称": "a"}]], ["a"]])
def test_rows_that_are_objects_are_refused_as_dingtalk_refuses_them(world, rows):
    with pytest.raises(Refused, match="系统错误"):
        fill_in(world, [TABLE], [{"id": "Table1", "value": json.dumps(rows)}])
