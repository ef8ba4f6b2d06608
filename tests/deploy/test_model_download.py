"""The init container's program, run as the pod runs it: over HTTPS, into an empty folder."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import ssl
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from export.contract.manifest import load_manifest
from tests.deploy.manifests import FOLDER, Manifests
from tests.programs import PATIENCE_SECONDS, program, run

PROGRAM = FOLDER / "components" / "model-download" / "fetch_models.py"
ARTIFACT = Path(__file__).parents[2] / "export" / "artifacts" / "en-it-lstm"
OTHER_SHA256 = hashlib.sha256(b"another archive").hexdigest()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key of localhost, in one file that is its own authority."""
    folder = tmp_path_factory.mktemp("certificate")
    made = run(
        program("openssl"), "req", "-x509", "-nodes", "-days", "2",
        "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        "-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem"),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "certificate.pem").read_text())
    return both


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models.tar.gz holds a bundled artifact, escaping.tar a file that wants to lie elsewhere."""
    folder = tmp_path_factory.mktemp("archives")
    with tarfile.open(folder / "models.tar.gz", "w:gz") as archive:
        archive.add(ARTIFACT, ARTIFACT.name)
    with tarfile.open(folder / "escaping.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../escaped"), io.BytesIO())
    return folder


@pytest.fixture(scope="module")
def url(archives: Path, certificate: Path) -> Iterator[str]:
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(archives))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


Fetch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fetch(certificate: Path, tmp_path: Path) -> Fetch:
    (tmp_path / "models").mkdir()

    def run_program(url: str, sha256: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "MODEL_ARCHIVE_URL": url,
            "MODEL_ARCHIVE_SHA256": sha256,
            "SSL_CERT_FILE": str(certificate),
        }
        return subprocess.run(
            [sys.executable, str(PROGRAM), str(tmp_path / "models")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    return run_program


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_right_archive_is_unpacked(fetch: Fetch, url: str, archives: Path, tmp_path: Path) -> None:
    fetched = fetch(f"{url}/models.tar.gz", sha256_of(archives / "models.tar.gz"))
    assert (fetched.returncode, fetched.stderr) == (0, "")
    assert [path.name for path in (tmp_path / "models").iterdir()] == [ARTIFACT.name]
    folder = tmp_path / "models" / ARTIFACT.name
    assert load_manifest(folder) == load_manifest(ARTIFACT)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        p.name: p.read_bytes() for p in ARTIFACT.iterdir()
    }


def test_another_archive_is_refused_and_leaves_nothing(fetch: Fetch, url: str, tmp_path: Path) -> None:
    fetched = fetch(f"{url}/models.tar.gz", OTHER_SHA256)
    assert fetched.returncode == 1
    assert f"must have {OTHER_SHA256}" in fetched.stderr
    assert list((tmp_path / "models").iterdir()) == []


def test_an_archive_cannot_write_elsewhere(fetch: Fetch, url: str, archives: Path, tmp_path: Path) -> None:
    fetched = fetch(f"{url}/escaping.tar", sha256_of(archives / "escaping.tar"))
    assert fetched.returncode == 1
    assert "outside the destination" in fetched.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"models"}


def test_a_missing_archive_is_told(fetch: Fetch, url: str) -> None:
    fetched = fetch(f"{url}/none.tar", OTHER_SHA256)
    assert fetched.returncode == 1
    assert "404" in fetched.stderr
    assert "Traceback" not in fetched.stderr


@pytest.mark.parametrize(
    ("url_setting", "sha256", "told"),
    [
        ("SET-URL", OTHER_SHA256, "MODEL_ARCHIVE_URL is 'SET-URL'"),
        ("http://localhost/models.tar", OTHER_SHA256, "must begin with https://"),
        ("https://localhost/models.tar", "SET-SHA256", "MODEL_ARCHIVE_SHA256 is 'SET-SHA256'"),
    ],
)
def test_settings_that_nobody_made_are_refused(
    fetch: Fetch, url_setting: str, sha256: str, told: str
) -> None:
    fetched = fetch(url_setting, sha256)
    assert fetched.returncode == 1
    assert told in fetched.stderr


def test_the_init_container_runs_this_program(manifests: Manifests) -> None:
    for container in manifests.pod.get("initContainers", []):
        assert container["command"] == ["python", "/fetch/fetch_models.py", "/models"]
        names = {source["configMapRef"]["name"] for source in container["envFrom"]}
        maps = {document["metadata"]["name"]: document["data"] for document in manifests.all("ConfigMap")}
        (settings,) = (maps[name] for name in names)
        assert settings.keys() == {"MODEL_ARCHIVE_URL", "MODEL_ARCHIVE_SHA256"}
        mounted = {volume["name"]: volume for volume in manifests.pod["volumes"]}["fetch"]["configMap"][
            "name"
        ]
        assert maps[mounted]["fetch_models.py"] == PROGRAM.read_text()
