"""Reads deploy/Dockerfile, and carries its build out in a folder, where no container engine is at hand.

It knows the instructions that the file uses and refuses others. A folder takes the place of the image's root:
/build and /opt in instructions lie in it, and this machine's Python takes the place of the base image's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.programs import PATIENCE_SECONDS

REPOSITORY = Path(__file__).parents[2]
DOCKERFILE = REPOSITORY / "deploy" / "Dockerfile"
_IMAGE_ROOTS = re.compile(r"(?<![\w.])/(build|opt)(?=/|\s|$)")


@dataclass(frozen=True)
class Stage:
    """A stage's base, an image or another stage, and its instructions."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The values of an instruction."""
        return [value for instruction, value in self.instructions if instruction == name]


def _lines(path: Path) -> Iterator[str]:
    text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
    yield from filter(str.strip, text.replace("\\\n", " ").splitlines())


def read_stages(path: Path = DOCKERFILE) -> dict[str, Stage]:
    """Every stage by name; the arguments before the first stage are those of the stage named ''."""
    stages = {"": Stage("")}
    current = stages[""]
    for line in _lines(path):
        name, value = line.split(None, 1)
        if name == "FROM":
            base, _, alias = value.split()
            stages[alias] = current = Stage(base)
        else:
            current.instructions.append((name, " ".join(value.split())))
    return stages


def context_names(path: Path = REPOSITORY / ".dockerignore") -> tuple[list[str], list[str]]:
    """What .dockerignore lets in, and the patterns that it takes out of that again."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*", "everything is kept out first"
    kept = [line[1:] for line in lines if line.startswith("!")]
    return kept, [line.removeprefix("**/") for line in lines[1:] if not line.startswith("!")]


class Builder:
    """Carries stages out in one folder, a stage's base and the stages that it copies from first."""

    def __init__(self, root: Path, stages: Mapping[str, Stage]) -> None:
        self.root, self.stages = root, stages
        self.environment = {"PATH": f"{self._base_python()}:/usr/bin:/bin", "HOME": str(root)}
        self.environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        self._context = root / "context"
        self._built: set[str] = set()
        self._copy_context()

    def _base_python(self) -> Path:
        base = self.root / "base"
        subprocess.run([sys.executable, "-m", "venv", str(base)], check=True, timeout=PATIENCE_SECONDS)
        return base / "bin"

    def _copy_context(self) -> None:
        kept, ignored = context_names()
        for name in kept:
            source, target = REPOSITORY / name, self._context / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns(*ignored))
            else:
                shutil.copy(source, target)

    def build(self, name: str) -> None:
        """Carry out a stage, once."""
        if name not in self.stages or name in self._built:
            return
        self._built.add(name)
        self.build(self.stages[name].base)
        for instruction, value in self.stages[name].instructions:
            match instruction:
                case "RUN":
                    self._run(value)
                case "COPY":
                    self._copy(value)
                case "ENV":
                    for setting in value.split():
                        key, _, content = setting.partition("=")
                        self.environment[key] = self._inside(content).replace(
                            "$PATH", self.environment["PATH"]
                        )
                case "WORKDIR":
                    (self.root / value.lstrip("/")).mkdir(exist_ok=True)
                case "ARG" | "ENTRYPOINT" | "EXPOSE" | "HEALTHCHECK" | "LABEL" | "STOPSIGNAL" | "USER":
                    pass  # nothing to do when building
                case _:
                    raise NotImplementedError(instruction)

    def _inside(self, text: str) -> str:
        return _IMAGE_ROOTS.sub(lambda found: f"{self.root}/{found[1]}", text)

    def _run(self, command: str) -> None:
        finished = subprocess.run(
            ["/bin/sh", "-c", self._inside(command)],
            cwd=self.root / "build",
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert finished.returncode == 0, f"{command}\n{finished.stdout}\n{finished.stderr}"

    def _copy(self, value: str) -> None:
        words = value.split()
        if words[0].startswith("--from="):
            self.build(words[0].removeprefix("--from="))
            assert words[1] == words[2]
            assert Path(self._inside(words[1])).is_dir()  # stages share the folder, so it is there already
            return
        *sources, target = words
        into = Path(self._inside(target)) if target.startswith("/") else self.root / "build" / target
        for source in (self._context / name for name in sources):
            if source.is_dir():
                shutil.copytree(source, into, dirs_exist_ok=True)
            else:
                into.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, into)
