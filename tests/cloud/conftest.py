"""A local cloud for each test, its provider in both ways of running it, and the platform on top of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config import Config
from opsplatform.adapters.terraform import find_terraform
from tests.cloud.client import Cloud
from tests.cloud.offers import ENVIRONMENT_SETTING, add_modules, add_templates, write_credentials
from tests.cloud.provider.mirror import make_mirror, reattached
from tests.cloud.server import running_cloud
from tests.cloud.terraform import Terraform
from tests.cloud.world import TOKEN
from tests.flows.conftest import House, house, modules

__all__ = ["house", "modules"]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A cloud with nothing in it."""
    with running_cloud(tmp_path / "ledger.jsonl") as server:
        yield Cloud(server.url)


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror that Terraform installs the provider from."""
    return make_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Terraform of this machine."""
    return find_terraform("", tmp_path_factory.mktemp("engine"))


@pytest.fixture
def credentials(cloud: Cloud) -> dict[str, str]:
    """What the provider finds the cloud with."""
    return {"FAKECLOUD_URL": cloud.url, "FAKECLOUD_TOKEN": TOKEN, "FAKECLOUD_LABEL": "a run"}


@pytest.fixture
def terraform(binary: Path, credentials: dict[str, str], tmp_path: Path) -> Iterator[Terraform]:
    """Terraform with a provider that runs already: fast."""
    with reattached(tmp_path, credentials) as offer:
        yield Terraform(binary, tmp_path / "workspace", {"TF_REATTACH_PROVIDERS": offer})


@pytest.fixture
def spawning(binary: Path, credentials: dict[str, str], mirror: Path, tmp_path: Path) -> Terraform:
    """Terraform that starts the provider itself, as with any real one."""
    return Terraform(binary, tmp_path / "workspace", credentials, mirror)


@pytest.fixture
def make_config(  # in the place of the one all tests share, so that `house` is built on it
    make_config: Callable[..., Config], mirror: Path, modules: Path
) -> Callable[..., Config]:
    """Settings with the provider's mirror and the modules that use it."""
    add_modules(modules)

    def make(**settings: object) -> Config:
        return make_config(terraform_plugin_mirror=mirror, **settings)

    return make


@pytest.fixture
def cloud_house(house: House, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """The platform in this process, with the cloud's credentials and forms."""
    monkeypatch.setenv(ENVIRONMENT_SETTING, str(write_credentials(tmp_path / "demo.env", cloud.url)))
    add_templates(house.simulator)
    return house
