"""Settings: read once, refused with one sentence, and safe where nothing was set."""

import base64
import os
import stat
import threading

import pytest

from config import (
    Config,
    ConfigError,
    child_environment,
    load_config,
    metrics_folder,
    parse_seal_keys,
    read_dotenv,
    share_metrics,
)

KEY = base64.b64encode(b"k" * 32).decode()
PRODUCTION = {"OPS_ENV": "production", "SECRET_KEY": "s" * 32, "SEAL_KEYS": f"a:{KEY}"}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    """Nothing is set but the data folder."""
    for name in Config.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("OPS_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def read(monkeypatch):
    """The settings of an environment."""

    def load(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return load_config()

    return load


def test_where_nothing_is_set_the_defaults_of_the_contract_hold(read, tmp_path):
    config = read()

    assert (config.ops_env, config.host, config.port, config.own_url) == (
        "development",
        "127.0.0.1",
        5000,
        "http://127.0.0.1:5000",
    )
    assert config.database == f"sqlite:///{tmp_path / 'data' / 'opsplatform.db'}"
    assert config.broker_url.get_secret_value() == ""
    assert config.terraform_modules_dir.is_dir()
    assert stat.S_IMODE(config.data_dir.stat().st_mode) == 0o700


def test_what_is_set_is_used(read):
    config = read(PORT="8080", PUBLIC_URL="https://ops.example.com/", DATABASE_URL="postgresql+psycopg://a@b/c")

    assert (config.port, config.own_url) == (8080, "https://ops.example.com")
    assert config.database == "postgresql+psycopg://a@b/c"


@pytest.mark.parametrize(
    ("env", "given", "expected"),
    [
        ("development", None, True),
        ("production", None, False),
        ("production", "true", True),
        ("development", "false", False),
    ],
)
def test_registration_is_open_in_development_and_closed_in_production_unless_set(read, env, given, expected):
    more = {"OPS_OPEN_REGISTRATION": given} if given else {}

    assert read(**{**PRODUCTION, "OPS_ENV": env}, **more).open_registration is expected


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({**PRODUCTION, "SECRET_KEY": ""}, "SECRET_KEY must be a random text of at least 32 characters in production"),
        ({**PRODUCTION, "SECRET_KEY": "s" * 31}, "SECRET_KEY must be a random text"),
        ({**PRODUCTION, "SEAL_KEYS": ""}, "SEAL_KEYS must be set in production"),
        ({"SEAL_KEYS": "a:short"}, "SEAL_KEYS must read id:base64 of 32 bytes"),
        ({"SEAL_KEYS": f"a:{KEY},a:{KEY}"}, "each id once"),
        ({"SEAL_KEYS": f":{KEY}"}, "SEAL_KEYS must read"),
        ({"SEAL_KEYS": f"{'a' * 17}:{KEY}"}, "SEAL_KEYS must read"),
        ({"SEAL_KEYS": f"a b:{KEY}"}, "SEAL_KEYS must read"),
        ({"PORT": "abc"}, "PORT: "),
        ({"PORT": "70000"}, "PORT: "),
        ({"OPS_ENV": "prod"}, "OPS_ENV: Input should be 'development', 'testing' or 'production'"),
        ({"DATABASE_URL": "oracle://x"}, "DATABASE_URL must begin with sqlite://"),
        ({"BROKER_URL": "amqp://x"}, "BROKER_URL must be empty or begin with redis://"),
        ({"DINGTALK_AES_KEY": "short"}, "DINGTALK_AES_KEY must be the 43 letters and digits"),
        ({"OPS_DATA_DIR": "/dev/null/data"}, "OPS_DATA_DIR: /dev/null/data cannot be used"),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_sentence_that_names_it(read, environment, sentence):
    with pytest.raises(ConfigError) as error:
        read(**environment)

    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_no_error_repeats_a_secret(read):
    with pytest.raises(ConfigError) as error:
        read(SEAL_KEYS="a:hunter2-hunter2")

    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("word", ["dev", "secret", "changeme", "you-will-never-guess"])
def test_a_well_known_key_is_refused_in_production_however_it_is_written(read, word, monkeypatch):
    monkeypatch.setattr("config.SHORTEST_SECRET_KEY", 1)

    with pytest.raises(ConfigError, match="SECRET_KEY"):
        read(**{**PRODUCTION, "SECRET_KEY": word.upper()})


def test_a_complete_production_starts(read):
    config = read(**PRODUCTION)

    assert config.signing_keys == ["s" * 32]
    assert config.sealing_keys == {"a": b"k" * 32}


def test_secrets_are_not_shown_by_the_settings(read):
    assert "s" * 32 not in repr(read(**PRODUCTION))


def test_old_keys_still_verify_and_the_new_one_signs(read):
    assert read(**PRODUCTION, SECRET_KEY_FALLBACKS=" old1, old2,").signing_keys == ["old1", "old2", "s" * 32]


def test_the_first_seal_key_seals_and_the_others_open():
    other = base64.b64encode(b"o" * 32).decode()

    assert list(parse_seal_keys(f"new:{KEY}, old:{other}")) == ["new", "old"]


def test_a_development_machine_makes_its_own_secrets_once_and_keeps_them_private(read):
    first, again = read(), read()

    assert first.signing_keys == again.signing_keys
    assert first.sealing_keys == again.sealing_keys
    assert first.signing_keys[0] != next(iter(first.sealing_keys.values()))
    assert {stat.S_IMODE(path.stat().st_mode) for path in first.data_dir.iterdir()} == {0o600}


def test_processes_that_start_at_once_agree_on_the_secret_they_make(read):
    configs = [read() for _ in range(8)]
    meet, made = threading.Barrier(8), []

    def make(config):
        meet.wait()
        made.append(config.signing_keys[0])

    threads = [threading.Thread(target=make, args=(config,)) for config in configs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 1
    assert [path.name for path in configs[0].data_dir.iterdir()] == ["secret_key"]


def test_events_are_accepted_for_the_app_and_for_the_organisation(read):
    assert read(DINGTALK_APP_KEY="key", DINGTALK_CORP_ID="corp").dingtalk_owner_keys == ["key", "corp"]


def test_each_environment_has_provider_credentials_of_its_own(read, tmp_path):
    file = tmp_path / "prod.env"
    file.write_text("# keys\n\nexport ALICLOUD_ACCESS_KEY='abc'\nREGION=\"cn-hangzhou\"\nEMPTY=\n")

    config = read(TERRAFORM_ENV_PROD_CN=str(file))

    assert config.terraform_environment("prod-cn") == {
        "ALICLOUD_ACCESS_KEY": "abc",
        "REGION": "cn-hangzhou",
        "EMPTY": "",
    }
    assert config.terraform_environment("demo") == {}


@pytest.mark.parametrize(("text", "line"), [("A=1\nno equals", 2), ("1A=1", 1), ("=x", 1), ("A B=1", 1)])
def test_a_line_that_is_no_setting_is_named(tmp_path, text, line):
    file = tmp_path / "x.env"
    file.write_text(text)

    with pytest.raises(ConfigError, match=rf"TERRAFORM_ENV_X: line {line} of .* does not read NAME=value"):
        read_dotenv(file, "TERRAFORM_ENV_X")


def test_a_credentials_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"TERRAFORM_ENV_X: .*cannot be read"):
        read_dotenv(tmp_path / "none", "TERRAFORM_ENV_X")


def test_a_child_gets_our_environment_with_other_settings(monkeypatch):
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("OTHER", "kept")

    child = child_environment(port=2, ops_data_dir="x")

    assert (child["PORT"], child["OPS_DATA_DIR"], child["OTHER"]) == ("2", "x", "kept")


def test_processes_count_in_one_folder_and_the_counts_of_dead_ones_are_dropped(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    folder = tmp_path / "metrics"
    folder.mkdir()
    for name in ("counter_4194305.db", f"counter_{os.getpid()}.db", "other.db"):
        (folder / name).touch()

    share_metrics(tmp_path)

    assert metrics_folder() == str(folder)
    assert {path.name for path in folder.iterdir()} == {f"counter_{os.getpid()}.db", "other.db"}
