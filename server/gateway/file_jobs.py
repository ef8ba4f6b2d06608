"""Files that are translated for clients: each in a thread and a folder of its own, and gone after a while."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Unpack

import grpc

from server.files.text_file import FileError
from server.files.translating import FileTranslation
from server.gateway.config import GatewayConfig
from server.gateway.errors import RequestRefused
from server.gateway.upstream import CallFailed, Metadata, Upstream
from traghetto.errors import CallError
from traghetto.failures import error_of
from traghetto.options import TranslateOptions
from traghetto.pb.translation.v1 import translation_pb2 as pb
from traghetto.requests import RequestTemplate, checked_texts
from traghetto.responses import results_of
from traghetto.results import Result, TextError
from traghetto.tls import security_of

log = logging.getLogger("traghetto.gateway.files")
_MAX_NAME_BYTES = 200  # of 255 that a file system takes: a journal's name is longer
_MAX_AT_WORK = 4  # files at once; of each the server has 8 calls at most
_OPTIONS: TranslateOptions = {"priority": "bulk"}


@dataclass(kw_only=True)
class FileJob:
    """A file's way from upload to download.

    Args:
        id: Names it, and cannot be guessed.
        key: Of its owner, for APIs that ask for one.
        source, output: In its folder.
        num_characters: Translated so far.
        ended: On the monotonic clock; None while it is under way.
        error: Why there is no output; None without one.
    """

    source: Path
    output: Path
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    key: str = field(default_factory=lambda: secrets.token_hex(32))
    num_characters: int = 0
    is_begun: bool = False
    ended: float | None = None
    error: str | None = None
    http_code: int = 400


class FileJobs:
    """All files of a gateway, within limits of number and age.

    Made and used in a running event loop.

    Args:
        config: Has the limits.
        upstream: Translates.
    """

    def __init__(self, config: GatewayConfig, upstream: Upstream) -> None:
        self._config, self._upstream = config, upstream
        self._jobs: dict[str, FileJob] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_MAX_AT_WORK)
        self._folder = Path(tempfile.mkdtemp(prefix="traghetto-files-"))

    def start(
        self, name: str, content: bytes, languages: tuple[str, str], metadata: Metadata
    ) -> tuple[FileJob, asyncio.Task[None]]:
        """Begin with a file; cancelling the task gives it up.

        Args:
            name: As the client calls it; its end tells the format.

        Raises:
            RequestRefused: there are as many files as there may be.
        """
        self._drop_old()
        kept = sum(job.error is None for job in self._jobs.values())
        if kept >= self._config.max_file_jobs:
            raise RequestRefused(429, f"there are {kept} files already, the limit: try again later")
        job = self._made(name, content)
        task = asyncio.create_task(self._run(job, languages, metadata))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job, task

    def of_id(self, job_id: str) -> FileJob | None:
        """The file of that id, unless there is none or it is too old."""
        self._drop_old()
        return self._jobs.get(job_id)

    async def close(self) -> None:
        """Give up what is under way, and remove all files."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _made(self, name: str, content: bytes) -> FileJob:
        bare = _file_name(name)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        job = FileJob(source=folder / "source" / bare, output=folder / "output" / bare)
        for path in (job.source, job.output):
            path.parent.mkdir()
        job.source.write_bytes(content)
        self._jobs[job.id] = job
        return job

    async def _run(self, job: FileJob, languages: tuple[str, str], metadata: Metadata) -> None:
        client = _ThreadClient(self._upstream, metadata, self._config)
        try:
            async with self._room:
                job.is_begun = True
                try:
                    await asyncio.to_thread(_translate, job, client, languages)
                finally:
                    client.cancel()
        except FileError as error:
            job.error = str(error).replace(f"{job.source.parent}/", "")
        except CallError as error:
            job.error, job.http_code = error.message, 400 if _is_of_client(error) else 503
        except asyncio.CancelledError:
            job.error, job.http_code = "it was given up", 503
            raise
        except Exception:
            log.exception("a file failed by a fault of the gateway")
            job.error, job.http_code = "a fault of the gateway, whose log tells more", 500
        finally:
            job.ended = time.monotonic()
            if job.error is not None:  # why is all that anybody may still ask for
                shutil.rmtree(job.source.parents[1], ignore_errors=True)

    def _drop_old(self) -> None:
        before = time.monotonic() - self._config.file_seconds
        old = [job for job in self._jobs.values() if job.ended is not None and job.ended <= before]
        failed = [job for job in self._jobs.values() if job.error is not None]
        for job in [*old, *failed[: -self._config.max_file_jobs]]:
            self._jobs.pop(job.id, None)
            shutil.rmtree(job.source.parents[1], ignore_errors=True)


def _file_name(name: str) -> str:
    """The last part of a name, as its end tells the format; short enough, and of a file."""
    bare = PurePath(name.replace("\\", "/")).name.replace("\0", "")
    bare = bare.encode()[-_MAX_NAME_BYTES:].decode(errors="ignore")
    return "file" if bare in {"", ".", ".."} else bare


def _translate(job: FileJob, client: _ThreadClient, languages: tuple[str, str]) -> None:
    """Translate in a thread; a text that is refused stays as it is, as one of an unsure language is.

    Raises:
        CallError: any other fault of a text, or one of all.
        FileError: the file is not what its name says.
    """
    translation = FileTranslation(job.source, job.output, languages, _OPTIONS)
    num_refused = 0
    for done in translation.run(client, lambda _: None):
        if not isinstance(done.result, TextError):
            job.num_characters += len(done.result.text)
        elif done.result.code is grpc.StatusCode.INVALID_ARGUMENT:
            num_refused += 1
        else:
            raise CallError(done.result.code, f"{translation.where(done.number)}: {done.result.message}")
    if num_refused:
        log.warning("of a file %d texts stayed as they are", num_refused)


def _is_of_client(error: CallError) -> bool:
    return error.code in {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    }


class _ThreadClient:
    """For a thread what `traghetto.Client` is: its calls go through the gateway's own channel and loop."""

    def __init__(self, upstream: Upstream, metadata: Metadata, config: GatewayConfig) -> None:
        self._upstream, self._metadata, self._config = upstream, metadata, config
        self._loop = asyncio.get_running_loop()
        self._is_cancelled = threading.Event()
        self._calls: set[Future[pb.TranslateResponse]] = set()

    def translate(
        self,
        texts: Iterable[str],
        source_language: str,
        target_language: str,
        **options: Unpack[TranslateOptions],
    ) -> list[Result]:
        """As `traghetto.Client.translate`; once cancelled it raises `CancelledError`."""
        request = RequestTemplate(source_language, target_language, **options).with_texts(
            list(checked_texts(texts))
        )
        if self._is_cancelled.is_set():
            raise CancelledError
        call = asyncio.run_coroutine_threadsafe(
            self._upstream.call("Translate", request, pb.TranslateResponse, self._metadata), self._loop
        )
        self._calls.add(call)
        try:
            return results_of(call.result())
        except CallFailed as error:
            seconds, tls = self._config.timeout_seconds, self._config.tls
            raise error_of(error.failure, seconds, security=security_of(tls), proxy=None) from error
        finally:
            self._calls.discard(call)

    def cancel(self) -> None:
        """End the calls under way, and let none follow."""
        self._is_cancelled.set()
        for call in list(self._calls):
            call.cancel()
