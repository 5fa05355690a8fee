"""The small parts of the core: sealing, tokens, pages, errors, logs, numbers, health."""

import base64
import datetime as dt
import json
import logging
from contextlib import suppress
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from opsplatform.app import create_app
from opsplatform.core import errors, health, logs, metrics, tokens
from opsplatform.core.db import db, transaction
from opsplatform.core.errors import InvalidParams
from opsplatform.core.machines import Cause, Machine, Move
from opsplatform.core.schemas import Moment, _read_cursor, page
from opsplatform.core.sealing import SealError, open_sealed, open_with, seal, seal_with
from opsplatform.notifications.models import Notice

OLD, NEW = {"old": b"o" * 32}, {"new": b"n" * 32}


class TestSealing:
    """A sealed value opens with its key in its place, and nowhere else."""

    @given(st.binary(max_size=200), st.text(max_size=20))
    def test_it_opens_where_it_was_sealed(self, plain, context):
        assert open_with(OLD, seal_with(OLD, plain, context), context) == plain

    def test_two_seals_of_one_value_differ(self):
        assert seal_with(OLD, b"x", "c") != seal_with(OLD, b"x", "c")

    def test_it_hides_what_it_holds(self):
        assert b"hunter2" not in seal_with(OLD, b"hunter2", "c")

    def test_a_long_value_is_kept_smaller_than_it_is(self):
        assert len(seal_with(OLD, b"x" * 100_000, "c")) < 2_000

    @pytest.mark.parametrize(
        ("keys", "context", "reason"),
        [
            (NEW, "place", "sealed with a key that SEAL_KEYS does not hold"),
            ({"old": b"x" * 32}, "place", "changed or belongs elsewhere"),
            (OLD, "other place", "changed or belongs elsewhere"),
        ],
    )
    def test_another_key_or_place_does_not_open_it(self, keys, context, reason):
        with pytest.raises(SealError, match=reason):
            open_with(keys, seal_with(OLD, b"plain", "place"), context)

    def test_any_changed_byte_is_noticed(self):
        sealed = seal_with(OLD, b"plain", "place")

        for place in range(len(sealed)):
            changed = bytearray(sealed)
            changed[place] ^= 1
            with pytest.raises(SealError):
                open_with(OLD, bytes(changed), "place")

    def test_any_lost_end_is_noticed(self):
        sealed = seal_with(OLD, b"plain", "place")

        for length in range(len(sealed)):
            with pytest.raises(SealError):
                open_with(OLD, sealed[:length], "place")

    @given(st.binary(max_size=80))
    def test_what_was_never_sealed_does_not_open(self, noise):
        with pytest.raises(SealError):
            open_with(OLD, noise, "place")

    def test_after_a_rotation_old_values_open_and_new_ones_use_the_new_key(self):
        before = seal_with(OLD, b"plain", "place")
        both = NEW | OLD

        after = seal_with(both, b"plain", "place")

        assert open_with(both, before, "place") == open_with(NEW, after, "place") == b"plain"
        with pytest.raises(SealError):
            open_with(OLD, after, "place")

    def test_the_application_seals_with_its_settings(self, platform):
        assert open_sealed(seal(b"plain", "place"), "place") == b"plain"


class TestTokens:
    """A token of ours is read back; anything else is None."""

    def test_a_token_carries_its_payload(self, platform):
        assert tokens.read(tokens.sign({"sub": 7}, "login"), "login", max_age=60) == {"sub": 7}

    def test_a_token_is_for_one_purpose(self, platform):
        assert tokens.read(tokens.sign({"sub": 7}, "login"), "refresh", max_age=60) is None

    def test_a_token_ends(self, platform):
        assert tokens.read(tokens.sign({"sub": 7}, "login"), "login", max_age=-1) is None

    @pytest.mark.parametrize("token", [None, 7, "", "a.b.c", "x" * 1025, "é", "\ud800"])
    def test_what_is_no_token_is_none(self, platform, token):
        assert tokens.read(token, "login", max_age=60) is None

    def test_any_changed_letter_makes_it_nobodys(self, platform):
        token = tokens.sign({"sub": 7}, "login")

        readable = [
            tokens.read(token[:n] + ("A" if token[n] != "A" else "B") + token[n + 1 :], "login", max_age=60)
            for n in range(len(token) - 1)  # the last letter of base64 may carry stray bits
        ]

        assert set(readable) == {None}

    def test_a_payload_that_is_no_object_is_none(self, platform):
        token = tokens._serializer("login").dumps([1])

        assert tokens.read(token, "login", max_age=60) is None

    def test_a_token_of_the_key_before_is_still_read_and_new_ones_use_the_new_key(self, make_config, clean_up):
        old = clean_up(create_app(make_config(secret_key="o" * 40)))
        new = clean_up(create_app(make_config(secret_key="n" * 40, secret_key_fallbacks="o" * 40)))
        with old.app_context():
            token = tokens.sign({"sub": 7}, "login")
        with new.app_context():
            fresh = tokens.sign({"sub": 7}, "login")
            assert tokens.read(token, "login", max_age=60) == {"sub": 7}

        with old.app_context():
            assert tokens.read(fresh, "login", max_age=60) is None


class TestPages:
    """A list is paged by the rows that were seen."""

    @pytest.fixture
    def put(self, platform):
        def add(*keys):
            with transaction():
                for key in keys:
                    db.session.add(Notice(key=key, channel="work", userid="", title="", text=""))
                    db.session.flush()

        return add

    def read(self, cursor=None, limit=2):
        return page(select(Notice), Notice.id, limit=limit, cursor=cursor, dump=lambda rows: [row.key for row in rows])

    def test_no_row_is_skipped_or_repeated_while_rows_are_added(self, put):
        put("a", "b", "c", "d", "e")
        first = self.read()
        put("f", "g")
        second = self.read(first["next_cursor"])
        put("h")
        third = self.read(second["next_cursor"])

        assert [found["items"] for found in (first, second, third)] == [["e", "d"], ["c", "b"], ["a"]]
        assert third["next_cursor"] is None

    def test_a_last_page_that_is_full_says_that_it_is_the_last(self, put):
        put("a", "b")

        assert self.read() == {"items": ["b", "a"], "next_cursor": None}

    def test_an_empty_list_is_one_empty_page(self, put):
        assert self.read() == {"items": [], "next_cursor": None}

    @pytest.mark.parametrize(
        "cursor",
        [
            "",
            "x",
            "====",
            "é",
            *(base64.urlsafe_b64encode(v).decode() for v in (b"7", b"[]", b'["a"]', b"[true]", b"{}", b"[1.5]")),
        ],
    )
    def test_a_cursor_no_list_gave_out_is_refused(self, put, cursor):
        with pytest.raises(InvalidParams) as error:
            self.read(cursor)

        assert list(error.value.errors) == ["cursor"]

    @given(st.text(max_size=40))
    def test_no_text_of_any_kind_breaks_the_reading_of_a_cursor(self, text):
        with suppress(InvalidParams):
            assert isinstance(_read_cursor(text), int)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), "2026-01-02T03:04:05Z"),
        (
            dt.datetime(2026, 1, 2, 11, 4, 5, 6, tzinfo=dt.timezone(dt.timedelta(hours=8))),
            "2026-01-02T03:04:05.000006Z",
        ),
        (None, None),
    ],
)
def test_a_time_leaves_in_utc_with_z(at, text):
    assert Moment()._serialize(at, None, None) == text


@pytest.mark.parametrize(
    ("error", "code", "data"),
    [
        (errors.InvalidParams({"a.b": ["wrong"]}), -32602, {"reason": "invalid_params", "errors": {"a.b": ["wrong"]}}),
        (errors.NotLoggedIn(), -32001, {"reason": "not_logged_in"}),
        (errors.NoPermission("no"), -32003, {"reason": "no_permission"}),
        (errors.TooManyRequests("slow down", 7), -32010, {"reason": "too_many_requests", "retry_after": 7}),
        (errors.NotFound("no"), -32020, {"reason": "not_found"}),
        (errors.Conflict("no"), -32021, {"reason": "conflict"}),
        (errors.Conflict("no", state="a"), -32021, {"reason": "conflict", "state": "a", "allowed": []}),
        (
            errors.UpstreamError("dingtalk", "down", upstream_code="88"),
            -32022,
            {"reason": "upstream_failed", "system": "dingtalk", "upstream_code": "88"},
        ),
    ],
)
def test_every_error_carries_the_code_and_the_data_of_the_contract(error, code, data):
    assert (error.code, error.data) == (code, data)
    assert str(error) == error.message != ""


class TestMachines:
    """A table of moves says who may change what into what."""

    @pytest.fixture
    def machine(self):
        moves = [
            Move(Light.RED, Light.GREEN, Cause.CLOCK, "a minute has passed"),
            Move(Light.RED, Light.GREEN, Cause.PERSON, "somebody pressed"),
            Move(Light.GREEN, Light.OFF, Cause.PERSON, "the night begins"),
        ]
        return Machine([Light.RED], moves)

    def test_what_no_move_leads_out_of_is_an_end(self, machine):
        assert machine.ends == {Light.OFF}
        assert (machine.after("red"), machine.after("off")) == ({Light.GREEN}, frozenset())

    def test_several_may_make_the_same_move(self, machine):
        assert machine.causes("red", "green") == {Cause.CLOCK, Cause.PERSON}
        assert machine.causes("green", "red") == frozenset()

    def test_it_is_drawn_from_its_starts_to_its_ends(self, machine):
        assert list(machine.diagram()) == [
            "stateDiagram-v2",
            "    [*] --> red",
            "    red --> green: clock, person",
            "    green --> off: person",
            "    off --> [*]",
        ]

    def test_it_is_written_move_by_move(self, machine):
        assert list(machine.table())[2:] == [
            "| red | green | clock | a minute has passed |",
            "| red | green | person | somebody pressed |",
            "| green | off | person | the night begins |",
        ]


class Light(StrEnum):
    RED = "red"
    GREEN = "green"
    OFF = "off"


class TestLogs:
    """Records carry what they are about and no secret."""

    @pytest.fixture(autouse=True)
    def _root(self):
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        yield
        root.handlers[:] = handlers
        root.setLevel(level)

    @pytest.fixture
    def record(self):
        def make(text, *args, **extra):
            record = logging.getLogger("x").makeRecord("x", logging.INFO, "f", 1, text, args, None, extra=extra)
            assert logs.ContextFilter().filter(record) is True
            return record

        return make

    def test_a_record_names_what_is_worked_on_inside_and_out(self, record):
        with logs.about(request="r1"):
            with logs.about(run_id=7):
                inner = record("x")
            outer = record("x")

        assert (inner.request, inner.run_id) == ("r1", 7)
        assert not hasattr(outer, "run_id")
        assert not hasattr(record("x"), "request")

    @pytest.mark.parametrize("name", ["access_token", "token", "bk_token", "ticket", "code", "signature", "appsecret"])
    def test_a_token_in_an_address_is_masked(self, record, name):
        said = record("GET %s", f"/x?{name}=hunter2&a=1").getMessage()

        assert said == f"GET /x?{name}=***&a=1"

    def test_a_line_for_people_ends_with_its_fields(self, record):
        text = logs.TextFormatter("%(message)s")

        assert text.format(record("run ended", run_id=7)) == "run ended run_id=7"
        assert text.format(record("run ended")) == "run ended"

    def test_a_line_for_programs_is_json(self, capsys):
        logs.set_up_logs("INFO", "json")

        with logs.about(run_id=7):
            logging.getLogger("opsplatform").info("run ended")

        line = json.loads(capsys.readouterr().err)
        assert (line["message"], line["run_id"], line["levelname"]) == ("run ended", 7, "INFO")

    def test_libraries_that_talk_much_are_kept_quiet(self, capsys):
        logs.set_up_logs("INFO", "text")

        logging.getLogger("urllib3").info("talk")
        logging.getLogger("opsplatform").info("a sentence")

        assert "a sentence" in (said := capsys.readouterr().err)
        assert "talk" not in said


class TestMetrics:
    """`/metrics`: what happened, and what waits."""

    @pytest.fixture
    def told(self, make_config, clean_up):
        def read(**settings):
            response = clean_up(create_app(make_config(**settings))).test_client().get("/metrics")
            assert response.status_code == 200
            return response.get_data(as_text=True)

        return read

    def test_it_tells_what_was_counted_and_what_stands_in_the_database(self, platform, told):
        with transaction():
            db.session.add(Notice(key="one", channel="work", userid="", title="", text=""))

        text = told()

        assert 'opsplatform_notices{status="waiting"} 1.0' in text
        assert "opsplatform_dingtalk_callbacks" in text

    def test_a_process_that_counts_with_others_tells_for_all_of_them(self, told, monkeypatch, tmp_path):
        (tmp_path / "metrics").mkdir()
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "metrics"))

        assert "opsplatform_notices" in told()

    def test_a_block_is_timed_with_its_outcome(self):
        def fail():
            with metrics.timed(metrics.TASK_SECONDS, "a test"):
                raise ValueError("x")

        with metrics.timed(metrics.TASK_SECONDS, "a test"):
            pass
        with pytest.raises(ValueError, match="x"):
            fail()

        counted = {
            outcome: metrics.REGISTRY.get_sample_value(
                "opsplatform_task_seconds_count", {"task": "a test", "outcome": outcome}
            )
            for outcome in ("ok", "error")
        }
        assert counted == {"ok": 1.0, "error": 1.0}


class TestHealth:
    """`/healthz` and `/readyz`, and what the check-up asks."""

    @pytest.fixture
    def get(self, make_config, clean_up):
        def ask(path, **settings):
            return clean_up(create_app(make_config(**settings))).test_client().get(path)

        return ask

    def test_a_process_that_answers_is_healthy_whatever_it_stands_on(self, get):
        response = get("/healthz", database_url="postgresql+psycopg://nobody@127.0.0.1:1/x")

        assert (response.status_code, response.get_json()) == (200, {"status": "ok"})

    def test_it_is_ready_when_every_part_is(self, get):
        response = get("/readyz")

        assert (response.status_code, response.get_json()["status"]) == (200, "ready")
        assert set(response.get_json()["parts"].values()) == {"ok"}

    @pytest.mark.parametrize(
        ("settings", "parts"),
        [
            ({"broker_url": "redis://127.0.0.1:1/0"}, {"queue": "the queue does not answer (ConnectionError)"}),
            (
                {"database_url": "postgresql+psycopg://nobody@127.0.0.1:1/x"},
                {
                    "database": "the database does not answer (OperationalError)",
                    "migrations": "the database is not at the newest migration; run: python manage.py db upgrade",
                },
            ),
            (
                {"database_url": "sqlite://"},
                {"migrations": "the database is not at the newest migration; run: python manage.py db upgrade"},
            ),
        ],
    )
    def test_it_is_not_ready_and_says_which_part_is_not(self, get, settings, parts):
        response = get("/readyz", **settings)

        assert (response.status_code, response.get_json()["status"]) == (503, "not ready")
        assert {name: text for name, text in response.get_json()["parts"].items() if text != "ok"} == parts

    def test_code_without_migrations_has_no_revision(self, monkeypatch, tmp_path):
        monkeypatch.setattr(health, "MIGRATIONS", tmp_path)

        assert health.revision_in_code() == ""
