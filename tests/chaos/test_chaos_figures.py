"""The page of figures says what was measured, and hides no target that was missed."""

import json

import pytest

from tests.bench.figures import Figure
from tests.chaos import figures, run


def figure(**more):
    return {**figures.listed("SQLite", ("kills", 3, "", ""))[0], **more}


@pytest.mark.parametrize(
    ("value", "target", "held"),
    [
        (300, "≥ 300", True),
        (299, "≥ 300", False),
        (10, "≤ 10 s", True),
        (10.01, "≤ 10 s", False),
        (0, "0", True),
        (1, "0", False),
        (1, "= 0", False),
        (1, "> 1", False),
        (1, "", None),
    ],
)
def test_a_target_is_held_or_missed(value, target, held):
    assert figures.holds(figure(value=value, target=target)) is held


def test_a_target_that_cannot_be_compared_is_an_error():
    with pytest.raises(ValueError, match="as good as it gets is not a target"):
        figures.holds(figure(target="as good as it gets"))


def test_the_page_names_every_part_and_what_was_missed(tmp_path):
    path = tmp_path / "kills.json"
    figures.keep(path, [figure(), figure(name="double applies", value=1, target="0")])

    part = figures.read("Random kills", path)
    page = figures.page([part], {"cores": "2"})

    assert "- cores: 2\n" in page
    assert "## Random kills\n" in page
    assert "| kills | 3 |  |  |  | SQLite |" in page
    assert "| double applies | 1 |  | 0 | **MISSED** | SQLite |" in page
    assert figures.missed([part]) == ["Random kills: double applies"]


def test_a_part_that_was_never_run_is_left_out(tmp_path):
    assert figures.read("Random kills", tmp_path / "kills.json") is None


def test_a_figure_of_the_benchmarks_keeps_its_own_verdict():
    kept = Figure("full cycles", "7/s", "bare loop 8/s", 0.875, "ratio > 1", holds=False).kept("SQLite")

    assert figures.holds(json.loads(json.dumps(kept))) is False
    assert kept["floor_or_peer"] == "bare loop 8/s, ratio 0.88"


def test_the_share_leaves_the_figures_alone_and_grows_with_its_minutes():
    part = run.PARTS["mutations-sqlite"]

    assert part.command(10, None)[-2:] == ["--seconds", f"{2 * part.share:.0f}"]
    assert "--json" not in part.command(10, None)
