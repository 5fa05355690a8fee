"""Every setting, read once from the environment; nothing else reads it.

The names are those of the environment variables in lower case; docs/operations.md lists them with their meaning.
A bad value stops the start with one sentence that names the setting.
"""

import base64
import binascii
import os
import re
import secrets
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from opsplatform.core.errors import OpsError

SHORTEST_SECRET_KEY = 32
SEAL_KEY_BYTES = 32
WELL_KNOWN_KEYS = frozenset({"dev", "secret", "changeme", "change-me", "secret-key", "you-will-never-guess"})
TERRAFORM_ENV_PREFIX = "TERRAFORM_ENV_"
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the name is the metrics library's
DATABASES = ("sqlite:", "postgresql+psycopg:", "mysql+pymysql:", "mariadb+pymysql:")
BROKERS = ("redis://", "rediss://")
AES_KEY = re.compile(r"[A-Za-z0-9+/]{43}")


class ConfigError(OpsError):
    """A setting is missing or wrong; the text says which and what to do."""


class Config(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    ops_env: Literal["development", "testing", "production"] = "development"
    ops_data_dir: Path = Path("instance")
    secret_key: SecretStr = SecretStr("")
    secret_key_fallbacks: SecretStr = SecretStr("")
    seal_keys: SecretStr = SecretStr("")
    database_url: SecretStr = SecretStr("")
    broker_url: SecretStr = SecretStr("")
    host: str = "127.0.0.1"
    port: int = Field(default=5000, ge=1, le=65535)
    public_url: str = ""
    ops_open_registration: bool | None = None
    ops_web_workers: int = Field(default=1, ge=1, le=64)
    ops_web_threads: int = Field(default=8, ge=1, le=64)
    ops_worker_threads: int = Field(default_factory=lambda: max(4, 2 * (os.cpu_count() or 1)), ge=1, le=256)
    ops_worker_memory_mb: int | None = Field(default=None, ge=256)
    ops_plan_expiry_days: int = Field(default=30, ge=4, le=365)
    ops_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    ops_log_format: Literal["text", "json"] = "text"

    terraform_bin: str = ""
    terraform_modules_dir: Path = Path(__file__).parent / "terraform_modules"
    terraform_plugin_mirror: Path | None = None
    ops_sandbox: Literal["auto", "required", "off"] = "auto"

    dingtalk_corp_id: str = ""
    dingtalk_app_key: str = ""
    dingtalk_app_secret: SecretStr = SecretStr("")
    dingtalk_agent_id: str = ""
    dingtalk_token: SecretStr = SecretStr("")
    dingtalk_aes_key: SecretStr = SecretStr("")
    dingtalk_comment_user_id: str = ""
    dingtalk_oapi_url: str = "https://oapi.dingtalk.com"
    dingtalk_api_url: str = "https://api.dingtalk.com"
    dingtalk_login_url: str = "https://login.dingtalk.com"

    @model_validator(mode="after")
    def _refuse_weak_secrets(self) -> Self:
        key = self.secret_key.get_secret_value()
        if self.ops_env == "production":
            if len(key) < SHORTEST_SECRET_KEY or key.lower() in WELL_KNOWN_KEYS:
                raise ValueError("SECRET_KEY must be a random text of at least 32 characters in production")
            if not self.seal_keys.get_secret_value():
                raise ValueError("SEAL_KEYS must be set in production (id:base64 of 32 random bytes)")
        parse_seal_keys(self.seal_keys.get_secret_value())
        return self

    @model_validator(mode="after")
    def _refuse_what_no_process_could_use(self) -> Self:
        database, broker = self.database_url.get_secret_value(), self.broker_url.get_secret_value()
        if database and not database.startswith(DATABASES):
            raise ValueError("DATABASE_URL must begin with sqlite://, postgresql+psycopg:// or mysql+pymysql://")
        if broker and not broker.startswith(BROKERS):
            raise ValueError("BROKER_URL must be empty or begin with redis:// or rediss://")
        aes_key = self.dingtalk_aes_key.get_secret_value()
        if aes_key and not AES_KEY.fullmatch(aes_key):
            raise ValueError("DINGTALK_AES_KEY must be the 43 letters and digits of the event subscription")
        return self

    @property
    def open_registration(self) -> bool:
        """Whether anybody may register; on in development, off in production unless set."""
        return self.ops_env != "production" if self.ops_open_registration is None else self.ops_open_registration

    @property
    def data_dir(self) -> Path:
        """The data folder, absolute."""
        return self.ops_data_dir.absolute()

    @property
    def own_url(self) -> str:
        """Our address as others see it, without a trailing slash."""
        return (self.public_url or f"http://127.0.0.1:{self.port}").rstrip("/")

    @property
    def database(self) -> str:
        """The SQLAlchemy address of the database."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.data_dir / 'opsplatform.db'}"

    @cached_property
    def signing_keys(self) -> list[str]:
        """Keys that verify tokens; the last one signs."""
        fallbacks = [key.strip() for key in self.secret_key_fallbacks.get_secret_value().split(",") if key.strip()]
        return [*fallbacks, self._own_secret("secret_key", self.secret_key)]

    @cached_property
    def sealing_keys(self) -> dict[str, bytes]:
        """Keys that open sealed values by their id; the first one seals."""
        return parse_seal_keys(self._own_secret("seal_keys", self.seal_keys))

    @property
    def dingtalk_owner_keys(self) -> list[str]:
        """What may stand behind an event's text: the app key (console) or the corp id (old API)."""
        return [key for key in (self.dingtalk_app_key, self.dingtalk_corp_id) if key]

    def terraform_environment(self, environment: str) -> dict[str, str]:
        """The provider credentials of one environment, from the dotenv file its setting names."""
        name = TERRAFORM_ENV_PREFIX + environment.upper().replace("-", "_")
        path = os.environ.get(name)
        return read_dotenv(Path(path), name) if path else {}

    def _own_secret(self, name: str, given: SecretStr) -> str:
        """The secret that was set, or the one this development machine made for itself."""
        if given.get_secret_value():
            return given.get_secret_value()
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.data_dir / name
        made = f"dev:{base64.b64encode(secrets.token_bytes(SEAL_KEY_BYTES)).decode()}"
        draft = path.with_suffix(f".{secrets.token_hex(4)}")
        draft.touch(mode=0o600)
        draft.write_text(made, encoding="ascii")
        try:
            os.link(draft, path)  # the first of several processes wins, the others read what it wrote
        except FileExistsError:
            made = path.read_text(encoding="ascii")
        finally:
            draft.unlink()
        return made


def load_config() -> Config:
    """Read the environment and see to the data folder, or stop with one sentence that names the setting."""
    try:
        config = Config()
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"]).upper()
        text = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{name}: {text}" if name else text) from None
    except OSError as error:
        raise ConfigError(f"OPS_DATA_DIR: {config.data_dir} cannot be used ({error.strerror})") from error
    return config


def parse_seal_keys(text: str) -> dict[str, bytes]:
    """Keys by id from `id:base64,id:base64`; ValueError says what is wrong with it."""
    keys: dict[str, bytes] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, encoded = part.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not name or len(name) > 16 or not name.isalnum() or len(key) != SEAL_KEY_BYTES or name in keys:  # noqa: PLR2004
            raise ValueError("SEAL_KEYS must read id:base64 of 32 bytes, separated by commas, each id once")
        keys[name] = key
    return keys


def read_dotenv(path: Path, setting: str) -> dict[str, str]:
    """Lines `NAME=value`; blank lines and lines that start with # are passed over."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read ({error.strerror})") from error
    pairs: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"{setting}: line {number} of {path} does not read NAME=value")
        pairs[name] = value.strip().strip("'\"")
    return pairs


def share_metrics(data_dir: Path) -> None:
    """Have every process of this host count in one folder; call it before anything that counts is imported."""
    folder = data_dir / "metrics"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in folder.glob("*.db"):
        pid = path.stem.rpartition("_")[2]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists() and Path("/proc/self").exists():
            path.unlink(missing_ok=True)
    os.environ[METRICS_FOLDER] = str(folder)


def metrics_folder() -> str | None:
    """Where the processes of this host count together; None when each counts for itself."""
    return os.environ.get(METRICS_FOLDER)


def child_environment(**settings: object) -> dict[str, str]:
    """Our own environment with other settings, for a process of ours that is started with them."""
    ours = {name: value for name, value in os.environ.items() if name != METRICS_FOLDER}  # each finds its own
    return {**ours, **{name.upper(): str(value) for name, value in settings.items()}}
