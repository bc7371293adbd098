"""Requests to a Hugging Face Hub, each bounded in size.

The session, the token, the addresses and the folder of the cache are those of ``huggingface_hub``.
Its own download function is not used: it takes the name of the file that it writes from a header
of the server unchecked, has no limit on what a server may send, and keeps a file whose content is
not what the Hub says. Answers are read here as bytes, and checked before they get a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlsplit

from rltransfer.agents.hub import listing as listings
from rltransfer.errors import (
    BadArgument,
    BadCheckpoint,
    MissingExtra,
    NotReachable,
    TransferError,
    UnknownName,
)

# A repository of many thousand files; the Hub's own page of files is far smaller.
_MAX_LISTING = 2**24


def huggingface_hub() -> ModuleType:
    """Import ``huggingface_hub``, which is an optional dependency.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise MissingExtra.of("hub:owner/repo", "hub") from error
    return huggingface_hub


class Client:
    """One Hub."""

    def __init__(self, endpoint: str | None = None) -> None:
        """Name the Hub.

        Args:
            endpoint: Its address; by default that of ``HF_ENDPOINT``, or https://huggingface.co.

        Raises:
            BadArgument: The address is malformed.
            MissingExtra: ``huggingface_hub`` is not installed.
        """
        self._hub = huggingface_hub()
        self._endpoint = (endpoint or self._hub.constants.ENDPOINT).rstrip("/")
        try:
            parts = urlsplit(self._endpoint)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise BadArgument("the address of the Hub is malformed: see HF_ENDPOINT") from None
        if parts.scheme not in ("http", "https") or not host:
            raise BadArgument("the address of the Hub must begin with https://: see HF_ENDPOINT")
        # Without a user name or password that the address may hold.
        self._site = f"{host}:{port}" if port else host

    def listing(self, repository: str, revision: str) -> listings.Listing:
        """Ask which commit a revision is, and what files it has.

        Args:
            repository: ``"owner/repo"``.
            revision: Branch, tag or commit; empty for the newest.

        Raises:
            NotReachable: There is no answer, or it is not one of a Hub.
            UnknownName: There is no such repository or revision.
        """
        path = f"{self._endpoint}/api/models/{repository}"
        path += f"/revision/{quote(revision, safe='')}" if revision else ""
        what = f"{repository}@{revision}" if revision else repository
        content = bytearray()
        with self._asking(f"{path}?blobs=true", what) as response:
            for chunk in response.iter_raw(2**16):
                content += chunk
                if len(content) > _MAX_LISTING:
                    raise BadCheckpoint(f"{what}: the list of its files is too long")
        try:
            return listings.read(bytes(content))
        except BadCheckpoint as error:
            raise NotReachable(f"{self._site} does not answer like a Hub: {error}") from error

    def download(
        self, repository: str, revision: str, name: str, size: int, write: Callable[[bytes], Any]
    ) -> None:
        """Stream a file.

        Args:
            repository: ``"owner/repo"``.
            revision: The commit.
            name: The file's path in the repository.
            size: Bytes that it must have; the stream is cut at the first one too many.
            write: Called with each part of the content.

        Raises:
            BadCheckpoint: The server sends another size or another commit.
            NotReachable: The stream breaks, or the server refuses.
            UnknownName: The file is not there.
        """
        url = self._hub.hf_hub_url(repository, name, revision=revision, endpoint=self._endpoint)
        what, received = f"{repository}@{revision[:12]}:{name}", 0
        with self._asking(url, what) as response:
            _check_answer(response, revision, size, what)
            for chunk in response.iter_raw(2**16):
                received += len(chunk)
                if received > size:
                    break
                write(chunk)
        if received != size:
            extent = "more" if received > size else f"{received}"
            raise BadCheckpoint(f"{what}: expected {size} bytes, the server sends {extent}")

    @contextmanager
    def _asking(self, url: str, what: str) -> Iterator[Any]:
        """Open a stream; every failure becomes an error that holds no address and no token."""
        hub = self._hub
        # HTTPError of the HTTP library that this huggingface_hub is built on, and OSError.
        failures = hub.errors.HfHubHTTPError.__bases__
        headers = hub.utils.build_hf_headers()
        # No compression, so that a byte is a byte; and no list of installed packages.
        headers |= {"accept-encoding": "identity", "user-agent": "rltransfer"}
        timeout = hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
        try:
            with hub.get_session().stream(
                "GET", url, headers=headers, timeout=timeout, follow_redirects=True
            ) as response:
                if response.status_code != 200:
                    raise self._refusal(response, what)
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise NotReachable(f"{what}: {self._site} compresses what must not be")
                yield response
        except hub.errors.OfflineModeIsEnabled:
            raise NotReachable(
                f"{what} is not in the cache, and HF_HUB_OFFLINE is set: unset it, or download it "
                "once where there is a network, with the same lock file"
            ) from None
        except failures as error:
            # Their texts name addresses, which may be signed.
            raise NotReachable(
                f"{what}: no answer from {self._site} ({type(error).__name__}): "
                "check the network, then try again"
            ) from None

    def _refusal(self, response: Any, what: str) -> TransferError:
        """Say why a request failed."""
        status, code = response.status_code, response.headers.get("x-error-code", "")
        login = "log in with `hf auth login`"
        if code == "RevisionNotFound":
            return UnknownName(f"{what}: no such branch, tag or commit in the repository")
        if code == "EntryNotFound":
            return UnknownName(f"{what}: no such file in the repository at this commit")
        if code == "GatedRepo":
            return NotReachable(
                f"{what}: its owner asks for consent: accept the terms on its page, and {login}"
            )
        if code == "RepoNotFound" or status in (401, 404):
            return UnknownName(
                f"{what}: {self._site} has no such repository, or it is private: check the name, "
                f"or {login}"
            )
        if status == 403:
            return NotReachable(f"{what}: {self._site} denies access: {login}, with enough rights")
        return NotReachable(f"{what}: {self._site} answers with status {status}: try again later")


def _check_answer(response: Any, revision: str, size: int, what: str) -> None:
    """Refuse an answer by its headers alone, before a byte of it is read."""
    for part in (*response.history, response):
        commit = part.headers.get("x-repo-commit", revision)
        if commit != revision:
            raise BadCheckpoint(f"{what}: the server sends commit {commit!r:.60} instead")
    announced = response.headers.get("content-length", str(size))
    if announced != str(size):
        raise BadCheckpoint(f"{what}: expected {size} bytes, the server sends {announced!r:.30}")
