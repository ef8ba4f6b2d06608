"""Both wheels, built and installed into environments of their own, and used far from the checkout.

The folder in which all runs has a server.py, an export.py and a model/ of its own: what users call their
files must not meet what the application calls its packages.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from traghetto import __version__

REPOSITORY = Path(__file__).parents[2]
ARTIFACT = REPOSITORY / "export/artifacts/en-it-lstm"
PATIENCE_SECONDS = 240.0
COMMANDS = (
    "bulk",
    "evaluate",
    "export",
    "gateway",
    "import",
    "prepare",
    "reload",
    "serve",
    "shortlist",
    "token",
    "train",
    "translate",
)
# What the client may bring; typing-extensions is grpcio's own.
CLIENT = {"traghetto", "googleapis-common-protos", "grpcio", "protobuf", "typing-extensions"}
TRANSLATE = """
import sys
from traghetto import Client, Translation
with Client(sys.argv[1]) as client:
    [result] = client.translate(["The cat is on the table."], "en", "it")
assert isinstance(result, Translation)
print(result.text)
"""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A virtual environment, and the folder in which its programs run."""

    folder: Path
    place: Path

    def command(self, name: str, *arguments: str | Path) -> list[str]:
        return [str(self.folder / "bin" / name), *map(str, arguments)]

    def variables(self) -> dict[str, str]:
        """The user's folder is on PYTHONPATH too."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAGHETTO_")}
        return {**kept, "PYTHONPATH": str(self.place)}

    def run(self, name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(name, *arguments),
            cwd=self.place,
            env=self.variables(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def distributions(self) -> set[str]:
        """Normalised names of all that is installed."""
        program = "import importlib.metadata as m; print(*{d.name.lower() for d in m.distributions()})"
        return {name.replace("_", "-") for name in self.run("python", "-c", program).stdout.split()}


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    finished = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert finished.returncode == 0, finished.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, built by the locked build backends of this environment, of a copy of the sources.

    Built where they are, setuptools would leave a folder there, and take files that are gone from it again.
    """
    folder, sources = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("sources")
    ignore = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.onnx", "*.model", "*.bin")
    for part in ("traghetto", "server", "export", "model", "deploy/package"):
        shutil.copytree(REPOSITORY / part, sources / part, ignore=ignore)
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(REPOSITORY / name, sources)
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    pip(*build, sources, sources / "deploy/package")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's folder: whoever imports one of its files ends."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "model").mkdir()
    for name in ("server.py", "export.py", "model/__init__.py"):
        (folder / name).write_text("raise SystemExit('the file of the user was imported')\n")
    return folder


def empty_environment(folder: Path, place: Path) -> Environment:
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True, timeout=PATIENCE_SECONDS)
    return Environment(folder=folder, place=place)


@pytest.fixture(scope="module")
def client(wheels: Path, place: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One with the client alone, installed as anybody would."""
    environment = empty_environment(tmp_path_factory.mktemp("client") / "venv", place)
    python = environment.folder / "bin/python"
    # The versions of the lock, so that this test does not change when a new one is published.
    lock = REPOSITORY / "requirements/serve.txt"
    versions = tmp_path_factory.mktemp("versions") / "versions.txt"
    versions.write_text("\n".join(line.split()[0] for line in lock.read_text().splitlines() if "==" in line))
    install = ("--python", python, "install", "--quiet", "--no-warn-script-location", "-c", versions)
    pip(*install, "--find-links", wheels, f"traghetto=={__version__}")
    return environment


@pytest.fixture(scope="module")
def server(wheels: Path, place: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One with the server, from the lock."""
    environment = empty_environment(tmp_path_factory.mktemp("server") / "venv", place)
    install = ("--python", environment.folder / "bin/python", "install", "--quiet")
    pip(*install, "--require-hashes", "-r", REPOSITORY / "requirements/evaluate.txt")
    pip(*install, "--no-deps", "--no-index", "--find-links", wheels, "traghetto", "traghetto-server[serve]")
    return environment


@pytest.fixture
def address(server: Environment) -> Iterator[str]:
    """That of a server with the recurrent model."""
    flags = [f"--{name}listen=127.0.0.1:0" for name in ("", "metrics-", "admin-")]
    with subprocess.Popen(
        server.command("traghetto-serve", ARTIFACT, "--slots=2", *flags),
        cwd=server.place,
        env=server.variables(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            yield dict(word.split("=", 1) for word in words if "=" in word)["grpc"]
        finally:
            process.terminate()


def names_in(wheels: Path, pattern: str) -> set[str]:
    (path,) = wheels.glob(pattern)
    with zipfile.ZipFile(path) as wheel:
        return set(wheel.namelist())


def sources_of(*parts: str) -> set[str]:
    """Of the checkout, without what a model brings."""
    paths = (path for part in parts for path in (REPOSITORY / part).rglob("*.py"))
    return {path.relative_to(REPOSITORY).as_posix() for path in paths}


def test_the_client_is_one_package_with_its_types(wheels: Path) -> None:
    names = names_in(wheels, "traghetto-*.whl")
    assert {name.split("/")[0] for name in names} == {"traghetto", f"traghetto-{__version__}.dist-info"}
    assert sources_of("traghetto") == {name for name in names if name.endswith(".py")}
    assert "traghetto/py.typed" in names
    stubs = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "traghetto").rglob("*.pyi")}
    assert stubs == {name for name in names if name.endswith(".pyi")}


def test_the_server_is_one_package_that_carries_all_sources_and_no_model(wheels: Path) -> None:
    names = names_in(wheels, "traghetto_server-*.whl")
    tops = {name.split("/")[0] for name in names}
    assert tops == {"traghetto_server", f"traghetto_server-{__version__}.dist-info"}
    app = "traghetto_server/app/"
    carried = {name.removeprefix(app) for name in names if name.startswith(app)}
    assert {name for name in carried if name.endswith(".py")} == sources_of("server", "export", "model")
    assert "model/configs/en-it.yaml" in carried
    page = {".css", ".html", ".js", ".svg"}
    assert {Path(name).suffix for name in carried} == {".py", ".typed", ".yaml", *page}
    assert not [name for name in carried if "pretrained" in name or "artifacts" in name]


def test_the_client_brings_its_dependencies_alone(client: Environment) -> None:
    assert client.distributions() == CLIENT


@pytest.mark.parametrize("module", ["server", "export", "model"])
def test_neither_takes_a_common_name(client: Environment, server: Environment, module: str) -> None:
    for environment in (client, server):
        (found,) = environment.folder.glob("lib/python*/site-packages")
        assert not list(found.glob(f"{module}*"))
        tried = environment.run("python", "-c", f"import {module}")
        assert (tried.returncode, tried.stderr.strip()) == (1, "the file of the user was imported")


def test_a_server_started_beside_files_of_its_packages_names_serves_the_client(
    client: Environment, address: str
) -> None:
    translated = client.run("python", "-c", TRANSLATE, address)
    assert (translated.returncode, translated.stderr) == (0, "")
    assert translated.stdout.strip()


def test_a_model_is_evaluated_beside_files_of_its_packages_names(server: Environment) -> None:
    (server.place / "pairs.tsv").write_text("Good morning.\tBuongiorno.\n")
    ended = server.run("traghetto-evaluate", ARTIFACT, "--data", ".", "--files", "pairs.tsv")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("BLEU|") == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_its_version(server: Environment, command: str) -> None:
    told = server.run(f"traghetto-{command}", "--version")
    assert (told.returncode, told.stdout, told.stderr) == (0, f"traghetto-{command} {__version__}\n", "")


def test_both_have_one_version_and_the_server_needs_the_client_of_it(server: Environment) -> None:
    program = (
        "import importlib.metadata as m, json; "
        "versions = [m.version(name) for name in ('traghetto', 'traghetto-server')]; "
        "print(json.dumps([*versions, m.requires('traghetto-server')]))"
    )
    client_version, server_version, requirements = json.loads(server.run("python", "-c", program).stdout)
    assert client_version == server_version == __version__
    assert f"traghetto=={__version__}" in requirements
