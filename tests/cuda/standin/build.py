"""Builds libraries that take the place of CUDA's, with every function that ONNX Runtime's own libraries name.

python build.py ONNXRUNTIME_FOLDER CUDA_HEADERS OUTPUT
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RUNTIME = "libcudart.so.13"
# By library the functions that are its own; cuDNN is opened when it is needed, the others are linked.
FUNCTIONS = {
    RUNTIME: r"_{0,2}cuda[A-Z]\w*",
    "libcuda.so.1": r"cu[A-Z]\w*",
    "libcublas.so.13": r"cublas(?!Lt)[A-Z]\w*",
    "libcublasLt.so.13": r"cublasLt[A-Z]\w*",
    "libcurand.so.10": r"curand[A-Z]\w*",
    "libcudnn.so.9": r"cudnn[A-Z]\w*",
}
# Of these the first argument is a place for a handle; other functions of no account succeed and do nothing.
_CREATES = re.compile(r"(cublas|cublasLt|cudnn)\w*Create\w*")


def main(onnxruntime: Path, headers: Path, output: Path) -> None:
    """Build them all; the runtime comes first, in which the others log."""
    output.mkdir(parents=True, exist_ok=True)
    binaries = [onnxruntime / "capi/libonnxruntime_providers_cuda.so"]
    binaries += onnxruntime.glob("capi/onnxruntime_pybind11_state*.so")
    linked = {name for binary in binaries for name in _undefined(binary)}
    named = set(re.findall(rb"\bcudnn[A-Z]\w*", binaries[0].read_bytes()))
    names = {*linked, *(name.decode() for name in named)}
    for library, pattern in FUNCTIONS.items():
        _build(library, {name for name in names if re.fullmatch(pattern, name)}, headers, output)


def _undefined(binary: Path) -> list[str]:
    table = _run("nm", "-D", "--undefined-only", str(binary))
    return [line.split()[-1].split("@")[0] for line in table.splitlines()]


def _build(library: str, names: set[str], headers: Path, output: Path) -> None:
    stem = library.removeprefix("lib").split(".")[0]
    source = HERE / ("runtime.c" if library == RUNTIME else "libraries.c")
    compiled = output / f"{stem}.o"
    gcc = ("gcc", "-std=gnu11", "-O1", "-w", "-fPIC", "-fno-builtin")
    _run(*gcc, f"-DLIBRARY_{stem}", f"-I{headers}", "-c", str(source), "-o", str(compiled))
    written = {line.split()[-1] for line in _run("nm", "--defined-only", str(compiled)).splitlines()}
    rest = output / f"{stem}_rest.c"
    rest.write_text("#include <stdlib.h>\n" + "\n".join(map(_function, sorted(names - written))) + "\n")
    version = output / f"{stem}.map"  # CUDA's libraries version their symbols by their own name
    version.write_text(f"{library} {{ global: *; }};\n")
    flags = ["-shared", f"-Wl,-soname,{library}", f"-Wl,--version-script,{version}"]
    links = [] if library == RUNTIME else [f"-L{output}", f"-l:{RUNTIME}"]
    _run(*gcc, *flags, str(compiled), str(rest), "-o", str(output / library), *links)


def _function(name: str) -> str:
    if _CREATES.fullmatch(name):
        return f"int {name}(void **handle) {{ *handle = calloc(1, 4096); return 0; }}"
    return f"long {name}(void) {{ return 0; }}"


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
