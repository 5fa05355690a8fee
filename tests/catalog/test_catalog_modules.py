import os

import pytest

from opsplatform.catalog import hcl, modules, service, tasks
from opsplatform.catalog.models import ModuleVersion
from opsplatform.core.db import db, reading
from opsplatform.core.errors import Conflict, NotFound

MAIN = 'variable "name" {\n  type = string\n}\noutput "id" {\n  value = var.name\n}\n'


def test_the_version_is_the_content_and_nothing_else(catalogue):
    folder = catalogue.module("one", MAIN)
    first = service.get_module("one")["version"]

    os.utime(folder / "main.tf", (1, 1))
    touched = service.get_module("one")["version"]
    (folder / "main.tf").write_text(MAIN + "# changed\n", encoding="utf-8")
    changed = service.get_module("one")["version"]
    (folder / "main.tf").write_text(MAIN, encoding="utf-8")

    assert touched == first
    assert changed != first
    assert service.get_module("one")["version"] == first


def test_bytes_that_move_from_one_file_to_another_make_another_version(catalogue):
    catalogue.module("one", MAIN, **{"a.md": "xy", "b.md": ""})
    catalogue.module("two", MAIN, **{"a.md": "x", "b.md": "y"})

    assert service.get_module("one")["version"] != service.get_module("two")["version"]


def test_hidden_files_are_no_part_of_a_module_but_the_lock_file_is(catalogue):
    folder = catalogue.module("one", MAIN)
    first = service.get_module("one")["version"]

    (folder / ".terraform").mkdir()
    (folder / ".terraform" / "x").write_text("x", encoding="utf-8")
    (folder / ".DS_Store").write_text("x", encoding="utf-8")
    hidden = service.get_module("one")["version"]
    (folder / ".terraform.lock.hcl").write_text("", encoding="utf-8")
    locked = service.get_module("one")["version"]

    assert hidden == first
    assert locked != first
    assert ".terraform.lock.hcl" in dict(service.version_files("one", locked))


def test_an_unchanged_module_is_not_read_again(catalogue, monkeypatch):
    catalogue.module("one", MAIN)
    service.get_module("one")

    monkeypatch.setattr(modules, "read_tree", lambda _folder: pytest.fail("read again"))

    assert service.get_module("one")["error"] is None


def test_another_process_need_not_parse_what_was_read_once(catalogue, monkeypatch):
    catalogue.module("one", MAIN)
    tasks.read_modules()
    before = service.get_module("one")

    monkeypatch.setattr(modules, "_known", {})
    monkeypatch.setattr(hcl, "read_file", lambda _content: pytest.fail("parsed again"))

    with reading():
        assert service.get_module("one") == before


def test_what_an_older_reading_left_is_read_again(catalogue, monkeypatch):
    catalogue.module("one", MAIN)
    tasks.read_modules()

    monkeypatch.setattr(modules, "_known", {})
    monkeypatch.setattr(modules, "READER", modules.READER + 1)
    tasks.read_modules()

    rows = db.session.scalars(db.select(ModuleVersion)).all()
    assert [row.reader for row in rows] == [modules.READER]


def test_two_workers_that_read_at_once_keep_one_row(catalogue, monkeypatch):
    catalogue.module("one", MAIN)
    tasks.read_modules()

    with monkeypatch.context() as slower:
        slower.setattr(modules, "_row", lambda _name, _version: None)  # it looked before the other wrote
        tasks.read_modules()

    assert len(db.session.scalars(db.select(ModuleVersion)).all()) == 1


def test_only_modules_that_can_be_used_are_remembered(catalogue):
    catalogue.module("good", MAIN)
    catalogue.module("bad", "variable {")

    tasks.read_modules()
    tasks.read_modules()

    assert db.session.scalars(db.select(ModuleVersion.name)).all() == ["good"]


CHOICE = """variable "s" {
  type = string
  validation {
    condition     = contains(["a"], var.s)
    error_message = "m"
  }
}
"""
BROKEN = {
    "does not parse": ("x = {\n", "title: {zh: a}", "main.tf:2: this is not valid HCL"),
    "nothing for Terraform": (None, "title: {zh: a}", "no .tf file"),
    "no offer": (MAIN, None, "offer.yaml is missing"),
    "a wrong offer": (MAIN, "titel: {zh: a}", "offer.yaml: title: Field required"),
    "the gate": ('locals {\n  a = file("x")\n}\n', "title: {zh: a}", "main.tf:2: file() reads files"),
    "a wrong type": ('variable "a" {\n  type = strin\n}\n', "title: {zh: a}", "main.tf:2: this is not a type"),
    "a form for no variable": (MAIN, "title: {zh: a}\nform: {nam: {label: a}}", "form.nam: the module has no variable"),
    "one variable twice": (
        MAIN,
        "title: {zh: a}\nform: {name: {label: a}, other: {label: b, variable: name}}",
        "every input one variable of its own",
    ),
    "an option the module does not take": (
        CHOICE,
        "title: {zh: a}\nform: {s: {label: a, options: {x: b}}}",
        "form.s.options: s takes only a",
    ),
    "an environment twice": (
        'variable "environment" {}\n',
        "title: {zh: a}\nenvironment_field: {label: 环境}",
        "environment_field",
    ),
}


@pytest.mark.parametrize(("main", "offer", "said"), BROKEN.values(), ids=BROKEN)
def test_a_module_that_cannot_be_used_is_listed_with_the_reason(catalogue, main, offer, said):
    folder = catalogue.module("broken", main or "", offer)
    if main is None:
        (folder / "main.tf").unlink()
    catalogue.module("good", MAIN)

    broken, good = service.list_modules()

    assert said in broken["error"]
    assert good["error"] is None
    with pytest.raises(Conflict, match="mended"):
        service.bind("broken", "PROC-1", {}, "admin")
    with pytest.raises(service.FormRefused, match="不可用"):
        service.order_for("broken", {})


def test_a_link_makes_a_module_unusable(catalogue, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("x", encoding="utf-8")
    folder = catalogue.module("one", MAIN)
    (folder / "notes.txt").symlink_to(secret)

    assert "links are not allowed" in service.get_module("one")["error"]
    with pytest.raises(Conflict, match="links are not allowed"):
        service.version_files("one", "x")


def test_a_pipe_makes_a_module_unusable_and_nobody_waits_for_it(catalogue):
    os.mkfifo(catalogue.module("one", MAIN) / "pipe")

    assert "only files and folders" in service.get_module("one")["error"]


def test_a_folder_that_is_a_link_is_no_module(catalogue, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (catalogue.root / "one").symlink_to(tmp_path / "elsewhere")

    assert service.list_modules() == []
    with pytest.raises(NotFound):
        service.get_module("one")


def test_too_many_files_make_a_module_unusable(catalogue):
    catalogue.module("one", MAIN, **{f"{number}.md": "" for number in range(200)})

    assert "at most 200 files" in service.get_module("one")["error"]


@pytest.mark.parametrize("name", ["..", ".", "", "One", "a/b", "../one", "1a", "a" * 64, "a\n"])
def test_a_name_that_is_no_module_name_is_not_found(catalogue, name):
    catalogue.module("one", MAIN)

    with pytest.raises(NotFound):
        service.get_module(name)


def test_a_folder_with_another_name_is_listed_with_the_reason(catalogue):
    catalogue.module("My_Module", MAIN)

    assert "lower-case" in service.list_modules()[0]["error"]


def test_no_folder_of_modules_is_no_module(catalogue):
    catalogue.root.rmdir()

    assert service.list_modules() == []


def test_the_files_of_a_version_are_those_that_made_it(catalogue):
    folder = catalogue.module("one", MAIN, **{"notes.md": "x"})
    version = service.get_module("one")["version"]

    assert service.version_files("one", version) == [("main.tf", MAIN.encode()), ("notes.md", b"x")]

    (folder / "notes.md").write_text("y", encoding="utf-8")
    with pytest.raises(Conflict, match="changed after it was ordered"):
        service.version_files("one", version)
    with pytest.raises(NotFound):
        service.version_files("gone", version)


def test_a_submodule_is_checked_and_its_variables_are_its_own(catalogue):
    folder = catalogue.module("one", MAIN + 'module "part" {\n  source = "./part"\n}\n')
    (folder / "part").mkdir()
    (folder / "part" / "main.tf").write_text('variable "inner" {}\n', encoding="utf-8")
    before = service.get_module("one")
    (folder / "part" / "main.tf").write_text('\ndata "external" "x" {\n}\n', encoding="utf-8")

    assert list(before["inputs"]["properties"]) == ["name"]
    assert "part/main.tf:2" in service.get_module("one")["error"]
