"""The modules on the local cloud as the platform is given them: their folder, their forms, their credentials."""

import shutil
from pathlib import Path

from opsplatform.simulator.client import Simulator
from tests.cloud.world import TOKEN

MODULES = Path(__file__).parent / "modules"
SERVER, MANY = "PROC-CLOUD-SERVER", "PROC-CLOUD-MANY"
ENVIRONMENT_SETTING = "TERRAFORM_ENV_DEMO"

_NAME = {"id": "TextField-name", "label": "名称", "type": "TextField", "required": True}
_DELAY = {"id": "NumberField-delay", "label": "秒", "type": "NumberField"}
_FORMS = {
    SERVER: [
        _NAME,
        {"id": "TextField-size", "label": "规格", "type": "TextField"},
        {"id": "TextField-password", "label": "密码", "type": "TextField"},
        _DELAY,
    ],
    MANY: [_NAME, {"id": "NumberField-number", "label": "数量", "type": "NumberField", "required": True}, _DELAY],
}


def add_modules(catalogue: Path) -> None:
    """Put the modules into a catalogue."""
    shutil.copytree(MODULES, catalogue, dirs_exist_ok=True)


def add_templates(simulator: Simulator) -> None:
    """Make the forms the modules are bound to."""
    for process_code, fields in _FORMS.items():
        simulator.add_template(process_code.removeprefix("PROC-"), fields, process_code=process_code)


def write_credentials(path: Path, url: str, **more: object) -> Path:
    """The dotenv file of an environment whose provider is this cloud's."""
    values = {"FAKECLOUD_URL": url, "FAKECLOUD_TOKEN": TOKEN, **more}
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    return path
