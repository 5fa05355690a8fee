"""Secrets stay out of logs and plans."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsplatform.core.masking import MASK, Scrubber, mask_by, mask_plan, texts_of

starless = st.characters(exclude_characters="*")
SECRET = 'p<a>ss"wörd&\\1'


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps(SECRET).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    ],
)
def test_a_secret_is_found_however_it_is_spelled(text):
    cleaned = Scrubber([SECRET]).clean(f"before {text} after")

    assert cleaned.replace('"', "") == f"before {MASK} after"


def test_the_longest_secret_goes_first():
    assert Scrubber(["secret", "secret-and-more"]).clean("secret-and-more, secret") == "***, ***"


def test_what_is_too_short_to_be_a_secret_stays():
    assert Scrubber(["abc", ""]).clean("abcdef") == "abcdef"


def test_a_key_of_many_lines_is_found_line_by_line():
    scrubber = Scrubber(["-----BEGIN KEY-----\nMIIEabcdef\n-----END KEY-----"])

    assert scrubber.clean("it printed MIIEabcdef") == "it printed ***"


@given(st.text(starless, min_size=4), st.text(starless), st.text(starless))
def test_no_secret_survives(secret, before, after):
    cleaned = Scrubber([secret]).clean(before + secret + after)

    assert not any(secret in part for part in cleaned.split(MASK))


def test_a_whole_document_is_cleaned():
    document = {"hunter22": ["x hunter22", {"deep": "hunter22"}], "n": 5, "none": None}

    assert Scrubber(["hunter22"]).clean_all(document) == {"***": ["x ***", {"deep": "***"}], "n": 5, "none": None}


def test_every_text_and_number_of_a_sensitive_value_is_known():
    assert set(texts_of({"a": ["one", {"b": 12345}], "c": True, "d": None, "e": 1.5})) == {"one", "12345", "1.5"}


@pytest.mark.parametrize(
    ("value", "marks", "masked"),
    [
        ({"a": 1, "b": 2}, {"a": True}, {"a": MASK, "b": 2}),
        ({"a": [1, 2]}, {"a": [False, True]}, {"a": [1, MASK]}),
        ([1, 2], [True], [MASK, 2]),
        ({"a": 1}, True, MASK),
        ({"a": 1}, False, {"a": 1}),
        (None, {"a": True}, None),
        ("text", {"a": True}, "text"),
    ],
)
def test_marks_decide_what_is_masked(value, marks, masked):
    assert mask_by(value, marks) == masked


def test_a_plan_loses_every_sensitive_value_and_nothing_else():
    change = {
        "before": None,
        "after": {"input": {"name": "web", "password": SECRET}, "output": {"name": "web", "password": SECRET}},
        "before_sensitive": False,
        "after_sensitive": {"input": {"password": True}},
    }
    plan = {
        "variables": {"name": {"value": "web"}, "password": {"value": SECRET}},
        "planned_values": {
            "outputs": {"p": {"sensitive": True, "value": SECRET}, "n": {"sensitive": False, "value": "web"}},
            "root_module": {
                "resources": [
                    {
                        "type": "terraform_data",
                        "values": {"input": {"password": SECRET}, "output": {"password": SECRET}},
                        "sensitive_values": {"input": {"password": True}},
                    }
                ]
            },
        },
        "resource_changes": [{"type": "terraform_data", "change": change}],
        "output_changes": {"p": {"before": SECRET, "after": SECRET, "before_sensitive": True, "after_sensitive": True}},
        "prior_state": {"values": {"outputs": {"p": {"sensitive": True, "value": SECRET}}}},
        "configuration": {
            "root_module": {"variables": {"name": {}, "password": {"sensitive": True, "default": SECRET}}}
        },
    }
    before = json.dumps(plan)

    masked = mask_plan(plan)

    assert json.dumps(SECRET)[1:-1] not in json.dumps(masked)
    assert masked["variables"] == {"name": {"value": "web"}, "password": {"value": MASK}}
    assert masked["resource_changes"][0]["change"]["after"]["input"] == {"name": "web", "password": MASK}
    assert masked["planned_values"]["outputs"]["n"]["value"] == "web"
    assert json.dumps(plan) == before
