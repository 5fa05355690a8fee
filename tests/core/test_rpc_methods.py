"""What a method may look like, which params it takes and which results leave."""

import datetime as dt
import enum
import functools
import json
from typing import Annotated, Any, NotRequired

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from opsplatform.core.rpc import Method


class Row(TypedDict):
    name: str
    size: NotRequired[int]


class Order(BaseModel):
    count: int


class Colour(enum.Enum):
    RED = "red"


def takes_numbers(a: int, b: int = 5) -> list[int]:
    return [a, b]


def takes_text(text: str | None = "default") -> str | None:
    return text


def takes_rows(rows: list[Row]) -> int:
    return len(rows)


def takes_names(names: list[str], extra: dict[str, int] | None = None) -> int:
    return len(names) + len(extra or {})


def takes_anything(things: list, table: dict) -> int:
    return len(things) + len(table)


def takes_types(day: dt.date, colour: Colour, order: Order) -> str:
    return f"{day.isoformat()} {colour.name} {order.count}"


def takes_short(word: Annotated[str, Field(max_length=3)], size: Annotated[int, Field(ge=1)] = 1) -> str:
    return word * size


def takes_odd_names(json: int, copy: int, schema: int, _x: int) -> int:
    return json + copy + schema + _x


def takes_float(number: float, any_value: Any = None) -> float:
    return number


PARAMS = [
    Method(function.__name__, function, public=True)
    for function in (
        takes_numbers,
        takes_text,
        takes_rows,
        takes_names,
        takes_anything,
        takes_types,
        takes_short,
        takes_odd_names,
        takes_float,
    )
]


@pytest.fixture
def api(rpc_api):
    return rpc_api(*PARAMS)


def test_a_name_used_twice_stops_the_start(rpc_api):
    with pytest.raises(ValueError, match="takes_text: the name is used twice"):
        rpc_api(PARAMS[1], PARAMS[1])


def no_return(a: int):
    return a


def no_annotation(a) -> int:
    return a


def starred(*args: int) -> int:
    return len(args)


def double_starred(**kwargs: int) -> int:
    return len(kwargs)


def positional_only(a: int, /) -> int:
    return a


def has_token(token: str) -> str:
    return token


def has_request_id(request_id: str) -> str:
    return request_id


async def later(a: int) -> int:
    return a


class Thing:
    def bound(self, a: int) -> int:
        return a


@pytest.mark.parametrize(
    ("method", "complaint"),
    [
        (Method("a.b", no_return), "a.b: the return annotation"),
        (Method("a.b", no_annotation), "a.b: a has no annotation"),
        (Method("a.b", starred), "a.b: args must be a plain"),
        (Method("a.b", double_starred), "a.b: kwargs must be a plain"),
        (Method("a.b", positional_only), "a.b: a must be a plain"),
        (Method("a.b", has_token), "a.b: token is taken"),
        (Method("a.b", has_request_id, changes=True), "a.b: request_id is taken"),
        (Method("a.b", later), "a.b: a method is a plain function"),
        (Method("a.b", Thing().bound), "a.b: a method is a plain function"),
        (Method("a.b", functools.partial(takes_numbers, 1)), "a.b: a method is a plain function"),
        (Method("rpc.other", takes_text), "rpc.other: names that begin with rpc"),
        (Method("a" * 65, takes_text), "has 1 to 64 characters"),
        (Method("a.b", takes_text, limit="often"), "couldn't parse"),
    ],
)
def test_a_method_that_could_not_work_stops_the_start_by_name(rpc_api, method, complaint):
    with pytest.raises((TypeError, ValueError), match=complaint):
        rpc_api(method)


def test_a_registered_function_stays_callable_as_it_is(api):
    assert takes_numbers(1) == [1, 5]


def test_a_decorated_function_is_checked_by_its_annotations(rpc_api):
    @functools.wraps(takes_numbers)
    def wrapped(*args, **kwargs):
        return takes_numbers(*args, **kwargs)

    api = rpc_api(Method("wrapped", wrapped, public=True))

    assert api.error("wrapped", {"a": "x"})["code"] == -32602
    assert api.result("wrapped", {"a": 1}) == [1, 5]


def test_a_default_stays_the_functions_own_and_null_differs_from_absent(api):
    assert api.result("takes_text") == "default"
    assert api.result("takes_text", {"text": None}) is None


@pytest.mark.parametrize("params", [{"a": 1}, [1]])
def test_params_go_by_name_or_by_position(api, params):
    assert api.result("takes_numbers", params) == [1, 5]


@pytest.mark.parametrize(
    ("method", "params", "errors"),
    [
        ("takes_numbers", {"a": 1, "zz": 2}, {"zz": ["Extra inputs are not permitted"]}),
        ("takes_numbers", [1, 2, 3], {"params": ["At most 2 values are taken, 3 were sent"]}),
        ("takes_numbers", {}, {"a": ["Field required"]}),
        ("takes_numbers", [], {"a": ["Field required"]}),
        ("takes_numbers", {"a": None}, {"a": ["Input should be a valid integer"]}),
        ("takes_numbers", {"a": "1"}, {"a": ["Input should be a valid integer"]}),
        ("takes_numbers", {"a": True}, {"a": ["Input should be a valid integer"]}),
        ("takes_numbers", {"a": 1.0}, {"a": ["Input should be a valid integer"]}),
        (
            "takes_numbers",
            {"a": "x", "b": "y"},
            {"a": ["Input should be a valid integer"], "b": ["Input should be a valid integer"]},
        ),
        ("takes_names", {"names": "abc"}, {"names": ["Input should be a valid array"]}),
        ("takes_names", {"names": ["a", 1]}, {"names.1": ["Input should be a valid string"]}),
        ("takes_rows", {"rows": [{"name": "a"}, {"name": 1}]}, {"rows.1.name": ["Input should be a valid string"]}),
        ("takes_rows", {"rows": [{"name": "a", "zz": 1}]}, {"rows.0.zz": ["Extra inputs are not permitted"]}),
        ("takes_short", {"word": "abcd"}, {"word": ["String should have at most 3 characters"]}),
        ("takes_short", {"word": "a", "size": 0}, {"size": ["Input should be greater than or equal to 1"]}),
        ("takes_text", {"text": "a\0b"}, {"text": ["Text must not hold the character U+0000"]}),
        ("takes_names", {"names": ["a", "\0"]}, {"names": ["Text must not hold the character U+0000"]}),
        (
            "takes_names",
            {"names": [], "extra": {"\0": 1}},
            {"extra": ["Text must not hold the character U+0000"]},
        ),
    ],
)
def test_wrong_params_are_refused_with_their_path(api, method, params, errors):
    error = api.error(method, params)

    assert (error["code"], error["message"]) == (-32602, "Invalid params")
    assert error["data"]["reason"] == "invalid_params"
    assert error["data"]["errors"] == errors


def test_a_nested_model_is_as_strict_as_the_params(api):
    good = {"day": "2024-01-01", "colour": "red", "order": {"count": 1}}

    assert api.result("takes_types", good) == "2024-01-01 RED 1"
    for bad in ({"count": "1"}, {"count": 1, "zz": 1}):
        assert api.error("takes_types", {**good, "order": bad})["code"] == -32602


@pytest.mark.parametrize("raw", [b"1e400", b"-1e400", b"[1e400]"])
@pytest.mark.parametrize("name", ["number", "any_value"])
def test_infinity_never_gets_in(api, raw, name):
    params = b'{"number":1,"any_value":%b}' % raw if name == "any_value" else b'{"number":%b}' % raw
    response = api.post(b'{"jsonrpc":"2.0","method":"takes_float","params":%b,"id":1}' % params)

    assert response.get_json()["error"]["code"] == -32602


def test_the_word_infinity_is_only_a_word(api):
    assert api.result("takes_float", {"number": 1, "any_value": "Infinity \\u0000"}) == 1.0


def test_params_may_be_named_like_members_of_a_model(api):
    assert api.result("takes_odd_names", {"json": 1, "copy": 2, "schema": 3, "_x": 4}) == 10


WRONG_VALUES = [None, True, 1, -1.5, "x", "", [], [1], {}, {"a": 1}, 10**400, "\0", [[[[]]]]]


@pytest.mark.parametrize("method", [method.name for method in PARAMS])
@pytest.mark.parametrize("value", WRONG_VALUES, ids=lambda value: json.dumps(value)[:20])
def test_no_input_is_our_own_mistake(api, method, value):
    names = [*next(m for m in PARAMS if m.name == method).function.__annotations__]
    for params in ([value], {name: value for name in names if name != "return"}, {"zz": value}):
        assert api.call(method, params).get("error", {}).get("code") in {None, -32602}


class Secretive:
    def __init__(self):
        self.password_hash = "hash"


def answers_pair() -> list[int]:
    return (1, 2)


def answers_text() -> str:
    return 5


def answers_nan() -> float:
    return float("nan")


def answers_object() -> Any:
    return Secretive()


def answers_bytes() -> Any:
    return b"\xff"


def answers_less() -> Row:
    return {"size": 1}


def answers_more() -> Row:
    return {"name": "a", "password_hash": "hash"}


def answers_nulls() -> dict[str, Any]:
    return {"a": None, "time": dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC), "word": "é中"}


RESULTS = [answers_pair, answers_text, answers_nan, answers_object, answers_bytes, answers_less, answers_more]


@pytest.mark.parametrize("function", RESULTS)
def test_a_result_of_another_shape_is_our_mistake_for_that_call_only(rpc_api, function, caplog):
    api = rpc_api(Method("bad", function, public=True), Method("good", takes_numbers, public=True))
    batch = [
        {"jsonrpc": "2.0", "method": "bad", "id": 1},
        {"jsonrpc": "2.0", "method": "good", "params": [1], "id": 2},
    ]

    first, second = api.post(batch).get_json()

    assert first["error"]["code"] == -32603
    assert second["result"] == [1, 5]
    assert "hash" not in json.dumps(first)
    assert "='hash'" not in caplog.text


def test_nulls_stay_times_are_iso_and_text_is_utf_8(rpc_api):
    api = rpc_api(Method("nulls", answers_nulls, public=True))

    raw = api.post({"jsonrpc": "2.0", "method": "nulls", "id": "ü"}).data

    assert raw == '{"jsonrpc":"2.0","result":{"a":null,"time":"2024-01-02T03:04:05Z","word":"é中"},"id":"ü"}'.encode()
