"""Give the provider to Terraform: as a mirror it installs from, or as one server that runs already.

The mirror holds all it needs, the Python packages too, so that it also runs where nothing else of this machine can be
seen. Terraform hashes a provider's folder at every command, so there only a short launcher lies in it.
"""

import compileall
import datetime as dt
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import typing_extensions

from tests.cloud.provider.fakecloud import SOURCE
from tests.support import ROOT

VERSION = "1.0.0"
PACKAGES = ("grpc", "google", "msgpack", "tf")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
LAUNCHER = """#!/bin/sh
''''exec {python} -I -S -B "$0" "$@" # '''
import sys

sys.path.insert(0, {library!r})
from tests.cloud.provider.serving import main

main(sys.argv[1:])
"""


def make_mirror(folder: Path) -> Path:
    """Build the mirror in the folder, and answer what TERRAFORM_PLUGIN_MIRROR must be."""
    mirror = folder.absolute()
    library = mirror / "lib"
    mirror.mkdir(parents=True, exist_ok=True)
    mirror.chmod(0o755)  # as any mirror: whoever Terraform runs as may read it
    for name in PACKAGES:
        shutil.copytree(_package(name), library / name, ignore=shutil.ignore_patterns("tests", "*.pyi"))
    shutil.copy2(typing_extensions.__file__, library)
    ours = library / "tests" / "cloud" / "provider"
    ours.mkdir(parents=True)
    for source in Path(__file__).parent.glob("*.py"):
        shutil.copy2(source, ours)
    write_key_pair(ours)
    compileall.compile_dir(library, quiet=2)  # else every start would compile what has changed hands
    target = f"{platform.system().lower()}_{MACHINES[platform.machine()]}"
    launcher = mirror / SOURCE / VERSION / target / f"terraform-provider-fakecloud_v{VERSION}"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(LAUNCHER.format(python=_python(), library=str(library)), encoding="utf-8")
    launcher.chmod(0o755)
    return mirror


@contextmanager
def reattached(folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """One provider for many runs while the block works; answers what TF_REATTACH_PROVIDERS must be."""
    command = [sys.executable, "-m", "tests.cloud.provider.serving", "--reattach", str(folder / "provider.sock")]
    child = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        with child.stdout:
            offer = child.stdout.readline().strip()
            json.loads(offer)
            yield offer
    finally:
        child.kill()
        child.wait()


def write_key_pair(folder: Path) -> None:
    """A key and a certificate for it that Terraform takes for those of a plugin."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    usages = [x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))


def _package(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None, f"the package {name} is not installed"
    assert spec.submodule_search_locations, f"{name} is a single file"
    return Path(next(iter(spec.submodule_search_locations)))


def _python() -> str:
    """The machine's own Python where it is of our version, because a sandbox shows that one; else ours."""
    own = Path(f"/usr/bin/python3.{sys.version_info.minor}")
    return str(own if own.is_file() else Path(sys.executable).resolve())
