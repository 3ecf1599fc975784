"""Message centres, clients and readers that others wrote: where they are, or why the test is skipped.

In CI such a skip is a failure (`tests/conftest.py`): `.ci/run` installs them all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

DRIVE_SMPP = "/usr/lib/kannel/test/drive_smpp"


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the npm package `smpp`: that of NODE_PATH, else one of our own, outside the repository."""
    given = Path(os.environ.get("NODE_PATH", "") or "/nonexistent")
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if (given / "smpp").is_dir():
        return given
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefer-offline", "--prefix", folder, "smpp@0.5.1"]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if installed.returncode:
        pytest.skip(f"npm could not install smpp: {installed.stderr.strip()[-200:]}")
    return folder / "node_modules"


@pytest.fixture(scope="session")
def tshark() -> str:
    """Wireshark's dissectors (Debian: tshark)."""
    return shutil.which("tshark") or pytest.skip("tshark is not installed")


@pytest.fixture(scope="session")
def drive_smpp() -> str:
    """Kannel's load generator (Debian: kannel-extras)."""
    return (
        shutil.which("drive_smpp")
        or shutil.which(DRIVE_SMPP)
        or pytest.skip("drive_smpp (kannel-extras) is not installed")
    )


@pytest.fixture(scope="session")
def bearerbox() -> str:
    """Kannel itself (Debian: kannel)."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    return shutil.which("bearerbox", path=path) or pytest.skip("bearerbox (kannel) is not installed")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and a certificate for `localhost`, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", cert,
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    return key, cert
