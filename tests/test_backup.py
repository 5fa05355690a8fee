"""Backup and restore: one moment of the database, into any kind of database, and nothing done twice after it."""

import datetime as dt
import gzip
import hashlib
import io
import json
import random
import shutil
import stat
import tarfile
import threading

import pytest
from sqlalchemy import create_engine, inspect, make_url, select, text, update

from config import Config
from opsplatform.accounts.models import User
from opsplatform.app import create_app
from opsplatform.approvals import inbox
from opsplatform.approvals.models import InboxEvent, Person
from opsplatform.backup import BackupError, backup, restore
from opsplatform.catalog import service as catalog
from opsplatform.core import archive, health
from opsplatform.core.archive import ArchiveError
from opsplatform.core.db import db, transaction
from opsplatform.core.leases import LeaseLost
from opsplatform.core.schedule import ScheduleTick
from opsplatform.inventory.models import Resource
from opsplatform.runs import files, service
from opsplatform.runs.models import Run, RunFile, RunStatus
from opsplatform.runs.service import Applicant
from opsplatform.states import service as states
from tests.flows.conftest import house, modules
from tests.miniatures import an_event, count, platform, rows
from tests.readings import all_answers
from tests.support import KIND, ROOT, SECRETS, SERVERS

__all__ = ["house", "modules", "platform"]

OTHER_KEY = "t:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
PAST = 1.0  # a moment long ago, on the clock of leases
LONG_AGO = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def file(tmp_path):
    """Where the backup goes."""
    return tmp_path / "backup.tar"


@pytest.fixture(params=["sqlite", *(pytest.param(k, marks=pytest.mark.server(k)) for k in ("postgresql", "mariadb"))])
def another(request, tmp_path, clean_up):
    """An application on an empty database of each kind, without a table in it."""
    url = f"sqlite:///{tmp_path / 'another.db'}" if request.param == "sqlite" else fresh(request.param)
    return clean_up(create_app(Config(ops_env="testing", ops_data_dir=tmp_path / "b", database_url=url, **SECRETS)))


def fresh(kind):
    """The address of a new database beside the one of the other tests."""
    url = make_url(SERVERS[kind])
    name = f"{url.database}_restored"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name}{' WITH (FORCE)' if kind == 'postgresql' else ''}"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


def order(platform, workspace, *, plan=True):
    """A run, planned unless told otherwise."""
    made = catalog.order_for("demo-server", {"name": workspace, "size": "small"})
    who = Applicant("zhangsan", "张三", {"id": 1, "instance_id": "PI-9", "business_id": "1", "title": "t", "url": None})
    with transaction():
        run_id = service.queue_run(made, who, origin=f"test:{workspace}", workspace=workspace).id
    platform.waiting()
    if plan:
        platform.do("runs.work")
        platform.waiting()
    return run_id


def agree(run_id):
    with transaction():
        service.decide(service.get(run_id), approved=True, approvers=[])


def status_of(run_id):
    (run,) = rows(Run, Run.id == run_id)
    return run.status


def everything():
    """Every row of every table, as the models read it."""
    with db.engine.connect() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in db.metadata.sorted_tables
        }


# --- the same afterwards ---


def test_after_a_restore_every_reading_method_answers_the_same(house, file):
    a_day_of_work(house)
    before = all_answers(house.api)
    with house.context():
        backup(file)
    house.submit()
    house.work()
    assert all_answers(house.api) != before

    with house.context():
        restore(file, force=True)

    assert all_answers(house.api) == before


def a_day_of_work(house):
    """Approvals and runs that ended in every way, and some that wait."""
    applied, refused = house.submit(), house.submit({"服务器名称": "no", "规格": "small"})
    secret = house.submit({"名称": "db", "密码": "hunter2-hunter2"}, process_code=secret_form(house))
    house.submit({"名称": "none", "数量": 0}, process_code="PROC-DEMO-FLEET")
    house.submit({"原因": "休息"}, process_code=house.simulator.add_template("请假", [{"id": "T", "label": "原因"}]))
    house.work()
    for instance_id in (applied, secret):
        house.agree(instance_id)
    house.simulator.refuse(refused)
    house.simulator.settle()
    house.work()
    house.submit({"服务器名称": "waits", "规格": "large"})
    house.work()
    house.api.call("user.register", username="lisi", password="correct horse battery", request_id="request-1")


def secret_form(house):
    components = [
        {"id": "TextField-name", "label": "名称", "type": "TextField"},
        {"id": "TextField-password", "label": "密码", "type": "TextField"},
    ]
    return house.simulator.add_template("密码", components, process_code="PROC-SECRET")


def test_a_backup_fills_every_kind_of_database_with_the_same_rows(platform, file, another):
    run_id = order(platform, "web")
    agree(run_id)
    platform.work()
    hard_to_spell()
    before = everything()
    backup(file)

    with another.app_context():
        restored = restore(file, moved=True)

        assert restored.under_way == []
        assert everything() == before
        assert restored.last_run == run_id
        assert health.migrations_trouble() is None


def hard_to_spell():
    """Values that a careless spelling would lose."""
    at = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
    data = {"中文": "😀 \\u0000 \n", "number": 1e-320, "deep": [None, True, 2**60, {"": ""}]}
    with transaction():
        db.session.add(Person(userid="a", name="“张三” 😀\n\\", looked_up_at=at))
        db.session.add(Person(userid="A", name="", looked_up_at=at.replace(microsecond=0)))
        db.session.add(ScheduleTick(task="x", period=1767323040.1234567))
        db.session.add(InboxEvent(dedupe_key="k", event_type="e", data=data, status="done", note=None, next_at=0.1))
        db.session.add(User(username="long", pwd_hash="x" * 255, enabled=False, roles=["a", "b"]))


@pytest.mark.skipif(KIND == "mariadb", reason="MariaDB does not take half a character in JSON")
def test_half_a_character_survives(platform, file):
    with transaction():
        db.session.add(InboxEvent(dedupe_key="k", event_type="e", data={"half": "\ud800"}))
    backup(file)

    restore(file, force=True)

    assert rows(InboxEvent)[0].data["half"] == "\ud800"


def test_new_rows_get_new_ids_after_a_restore(platform, file, another, make_config):
    old = order(platform, "web")
    backup(file)

    with another.app_context():
        restore(file)
        made = catalog.order_for("demo-server", {"name": "db", "size": "small"})
        with transaction():
            new = service.queue_run(made, Applicant("lisi", "李四"), origin="test:db", workspace="db").id

    assert new == old + 1


def test_an_empty_database_is_backed_up_and_restored_too(platform, file, another):
    before = everything()
    backup(file)

    with another.app_context():
        assert restore(file).last_run == 0
        assert everything() == before


# --- one moment ---


def test_a_backup_holds_one_moment_while_others_write(platform, file):
    stop, app = threading.Event(), platform.app

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            with app.app_context(), transaction():
                db.session.add(Person(userid=f"p{number}", name="x"))
                db.session.add(User(username=f"p{number}", pwd_hash="x" * 200))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until(lambda: count(Person) > 20)
        manifests = [backup(file.with_name(f"{n}.tar")) for n in range(10)]
    finally:
        stop.set()
        writer.join()

    sizes = [{member.table: member.rows for member in manifest.tables} for manifest in manifests]
    assert [size["person"] for size in sizes] == [size["users"] for size in sizes]
    assert sizes[0]["person"] < sizes[-1]["person"]


def until(true):
    pause = threading.Event()
    for _ in range(1000):
        if true():
            return
        pause.wait(0.01)
    raise AssertionError("waited in vain")


# --- what is in it ---


def test_the_file_is_for_us_only_and_holds_no_key_and_no_value_in_clear(platform, file):
    run_id = order(platform, "web")
    with transaction():
        files.keep(run_id, files.VARIABLES, b"hunter2-hunter2")

    manifest = backup(file)

    content = whole(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (manifest.database, manifest.revision) == (KIND, health.revision_in_code())
    assert list(manifest.keys) == ["t"]
    for secret in (SECRETS["secret_key"], SECRETS["seal_keys"][2:], "0123456789abcdef0123456789abcdef", "hunter2"):
        assert secret.encode() not in content


def whole(file):
    """Everything in an archive, unpacked."""
    content = file.read_bytes()
    with tarfile.open(file) as tar:
        for member in tar.getmembers():
            data = tar.extractfile(member).read()
            content += gzip.decompress(data) if member.name.endswith(".gz") else data
    return content


def test_every_column_of_every_table_can_be_held():
    for table in db.metadata.sorted_tables:
        assert [archive.kind_of(column) for column in table.columns]


def test_a_column_no_backup_could_hold_is_named():
    from sqlalchemy import Column, Interval

    with pytest.raises(TypeError, match="has a type that no backup holds"):
        archive.kind_of(Column("x", Interval()))


# --- refusals, before anything is changed ---


def test_a_file_that_is_there_is_not_overwritten(platform, file):
    file.write_text("precious")

    with pytest.raises(ArchiveError, match="there already"):
        backup(file)

    assert file.read_text() == "precious"


def test_a_folder_that_is_not_there_is_named(platform, file):
    with pytest.raises(ArchiveError, match=r"cannot be written \(No such file"):
        backup(file.parent / "nowhere" / "backup.tar")


def test_a_backup_that_fails_leaves_no_file(platform, file, monkeypatch):
    monkeypatch.setattr(archive, "kind_of", lambda _: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        backup(file)

    assert [path.name for path in file.parent.iterdir() if "backup" in path.name] == []


def test_a_database_without_tables_is_not_backed_up(another, file):
    with another.app_context(), pytest.raises(BackupError, match="db upgrade"):
        backup(file)


def test_a_database_that_is_not_empty_is_left_as_it_is(platform, file):
    order(platform, "web")
    backup(file)
    order(platform, "db")
    before = everything()

    with pytest.raises(BackupError, match=r"not empty \(.*run.*--force"):
        restore(file)

    assert everything() == before


def test_a_backup_of_a_newer_version_is_refused(platform, file):
    backup(file)
    rewritten(file, revision="9999")

    with pytest.raises(BackupError, match="newer than this one"):
        restore(file, force=True)

    assert health.migrations_trouble() is None


def rewritten(file, **changes):
    """Give the backup another manifest, with the sum that belongs to it."""
    rebuilt = io.BytesIO()
    with tarfile.open(file) as source, tarfile.open(fileobj=rebuilt, mode="w") as target:
        contents = {member.name: source.extractfile(member).read() for member in source.getmembers()}
        manifest = json.dumps({**json.loads(contents[archive.MANIFEST]), **changes}).encode()
        contents[archive.MANIFEST] = manifest
        contents[archive.MANIFEST_SUM] = hashlib.sha256(manifest).hexdigest().encode()
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    file.write_bytes(rebuilt.getvalue())


@pytest.mark.parametrize(
    ("changes", "words"), [({"format": 2}, "writes it differently"), ({"tables": None}, "cannot be understood")]
)
def test_a_manifest_of_another_kind_is_refused(platform, file, changes, words):
    backup(file)
    rewritten(file, **changes)

    with pytest.raises(ArchiveError, match=words):
        restore(file)


def test_fewer_rows_than_the_manifest_says_are_refused(platform, file):
    manifest = backup(file).model_dump(mode="json")
    rewritten(file, tables=[{**table, "rows": table["rows"] + 1} for table in manifest["tables"]])

    with pytest.raises(BackupError, match="rows and should hold"):
        restore(file)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE])
def test_another_tar_is_no_backup(platform, file, kind):
    member = tarfile.TarInfo("manifest.json" if kind == tarfile.DIRTYPE else "holiday.jpg")
    member.type = kind
    with tarfile.open(file, "w") as tar:
        tar.addfile(member)

    with pytest.raises(ArchiveError, match="no backup"):
        restore(file)


def test_a_database_that_does_not_answer_is_named(platform, file, make_config, clean_up):
    backup(file)
    away = clean_up(create_app(make_config(database_url="postgresql+psycopg://nobody:x@127.0.0.1:1/nothing")))

    with away.app_context(), pytest.raises(BackupError, match="does not answer"):
        restore(file)
    with away.app_context(), pytest.raises(BackupError, match="does not answer"):
        backup(file.with_name("other.tar"))


def test_a_backup_of_an_older_version_is_brought_to_the_newest_migration(platform, file, another, tmp_path):
    run_id = order(platform, "web")
    backup(file)
    newer = with_one_more_migration(tmp_path)

    with another.app_context():
        restore(file, migrations=newer)

        columns = [column["name"] for column in inspect(db.engine).get_columns("person")]
        assert "nickname" in columns
        assert rows(Run)[0].id == run_id


def with_one_more_migration(folder):
    """The migrations, and one that a later version brought."""
    target = folder / "migrations"
    shutil.copytree(ROOT / "migrations", target)
    (target / "versions" / "zz_later.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision = 'later'\ndown_revision = '{health.revision_in_code()}'\n"
        "branch_labels = depends_on = None\n\n\n"
        "def upgrade():\n    op.add_column('person', sa.Column('nickname', sa.String(20)))\n"
    )
    return target


def test_a_broken_archive_is_refused_and_nothing_is_changed(platform, file):
    order(platform, "web")
    backup(file)
    good, before, chance = file.read_bytes(), everything(), random.Random(1)
    broken = [good[: len(good) // 2], good[:-11_000], b"", b"no archive", *(flipped(good, chance) for _ in range(40))]

    for content in broken:
        file.write_bytes(content)
        with pytest.raises(ArchiveError):
            restore(file, force=True)

    assert everything() == before


def flipped(content, chance):
    """The archive with one bit of a table or of the manifest changed."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        member = chance.choice(tar.getmembers())
    place, changed = member.offset_data + chance.randrange(member.size), bytearray(content)
    changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


def test_a_file_that_is_not_there_is_named(platform, file):
    with pytest.raises(ArchiveError, match=r"cannot be read \(No such file"):
        restore(file)


@pytest.mark.parametrize("keys", [OTHER_KEY, OTHER_KEY.replace("t:", "u:")])
def test_without_the_keys_it_was_sealed_with_a_backup_is_refused(platform, file, make_config, clean_up, keys):
    order(platform, "web")
    backup(file)
    other = clean_up(create_app(make_config(seal_keys=keys)))

    with other.app_context(), pytest.raises(BackupError, match="sealed with the key t"):
        restore(file, force=True)

    assert count(Run) == 1


def test_values_nobody_could_open_do_not_stop_a_restore(platform, file, make_config, clean_up):
    order(platform, "web")
    other = clean_up(create_app(make_config(seal_keys=OTHER_KEY.replace("t:", "u:"))))

    with other.app_context():
        assert backup(file).keys == {"t": None}
        restore(file, force=True)

    assert count(Run) == 1


def test_rows_that_do_not_fit_are_named(platform, file, another):
    if KIND != "sqlite" or another.extensions["settings"].database.startswith("sqlite"):
        pytest.skip("only SQLite takes what is too long, and takes it again")
    with transaction():
        db.session.add(Person(userid="p" * 500, name="x"))
    backup(file)

    with another.app_context(), pytest.raises(BackupError, match="The rows of person do not fit"):
        restore(file)


# --- nothing is done twice ---


def restored(platform, file):
    """The platform some time after its database was lost and restored; the queue was lost too."""
    restore(file, force=True)
    platform.waiting()
    sweep(platform)


def sweep(platform):
    with transaction():
        for table in (Run, InboxEvent):
            db.session.execute(update(table).values(wake_at=0.0))
    platform.do("runs.sweep")
    platform.do("approvals.sweep")
    platform.work()


def test_a_run_that_was_queued_to_apply_waits_for_a_person(platform, file):
    run_id = order(platform, "web")
    agree(run_id)
    backup(file)
    platform.work()
    assert len(platform.terraform.applies) == 1

    restored(platform, file)

    assert status_of(run_id) == RunStatus.PLANNED
    assert len(platform.terraform.applies) == 1
    with transaction():
        service.confirm(run_id, by="admin", reason="the cloud does not have it")
    platform.work()
    assert status_of(run_id) == RunStatus.APPLIED


def test_a_run_that_was_approved_and_not_planned_yet_waits_for_a_person(platform, file):
    run_id = order(platform, "web", plan=False)
    agree(run_id)
    backup(file)

    restored(platform, file)

    assert status_of(run_id) == RunStatus.PLANNED
    assert platform.terraform.applies == []


def test_a_plan_that_was_agreed_to_after_the_backup_waits_for_a_person(platform, file):
    run_id = order(platform, "web")
    backup(file)
    agree(run_id)
    platform.work()

    restored(platform, file)
    agree(run_id)
    platform.work()

    assert status_of(run_id) == RunStatus.PLANNED
    assert len(platform.terraform.applies) == 1


def confirm(platform, run_id):
    with transaction():
        service.confirm(run_id, by="admin", reason=None)
    platform.work()


def test_a_plan_that_was_confirmed_after_the_backup_is_made_again_before_it_is_confirmed_again(platform, file):
    run_id = order(platform, "web")
    with transaction():
        service.get(run_id).rules = {**service.get(run_id).rules, "apply_on_agree": False}
    with transaction():
        service.decide(service.get(run_id), approved=True, approvers=[], at=LONG_AGO)
    assert status_of(run_id) == RunStatus.PLANNED
    backup(file)
    confirm(platform, run_id)
    assert status_of(run_id) == RunStatus.APPLIED

    restored(platform, file)
    confirm(platform, run_id)

    assert status_of(run_id) == RunStatus.PLANNED
    assert len(platform.terraform.applies) == 1
    confirm(platform, run_id)
    assert status_of(run_id) == RunStatus.APPLIED


def test_an_event_that_waited_leads_to_a_plan_and_not_to_an_apply(platform, file):
    platform.dingtalk.submit()
    platform.dingtalk.end()
    with transaction():
        inbox.receive(an_event("finish", result="agree"))
    backup(file)
    platform.work()
    assert len(platform.terraform.applies) == 1

    restored(platform, file)

    assert [run.status for run in rows(Run)] == [RunStatus.PLANNED]
    assert len(platform.terraform.applies) == 1


def test_a_run_that_was_applying_ends_as_if_its_worker_had_died(platform, file):
    run_id = order(platform, "web")
    agree(run_id)
    with transaction():
        db.session.execute(
            update(Run).values(status=RunStatus.APPLYING, lease_owner="lost-host:1", lease_until=PAST, fence=7)
        )
        db.session.execute(text("UPDATE workspace SET holder_run_id = :id, holder_fence = 7"), {"id": run_id})
    backup(file)

    restored(platform, file)

    (run,) = rows(Run)
    assert run.status == RunStatus.ERRORED
    assert "worker died" in run.error
    assert platform.terraform.applies == []


def test_a_plan_that_was_applied_is_not_applied_again_by_a_database_that_knows_nothing_of_it(platform, file):
    """As when a tool of the database brought it back, or `--moved` was said wrongly: the host still knows."""
    run_id = order(platform, "web")
    agree(run_id)
    backup(file)
    platform.work()
    restore(file, force=True, moved=True)

    with pytest.raises(LeaseLost):
        sweep(platform)
    with transaction():
        db.session.execute(update(Run).values(lease_until=0.0))
    sweep(platform)

    (run,) = rows(Run)
    assert (run.status, len(platform.terraform.applies)) == (RunStatus.ERRORED, 1)
    assert "was applied before" in run.error
    assert "was applied before" in states.get("web").quarantined_reason


def test_after_a_move_plans_stay_good(platform, file):
    run_id = order(platform, "web")
    agree(run_id)
    backup(file)

    restore(file, force=True, moved=True)
    platform.work()

    assert status_of(run_id) == RunStatus.APPLIED
    assert count(Resource) == 1
    assert count(RunFile, RunFile.name == files.PLAN) == 0
