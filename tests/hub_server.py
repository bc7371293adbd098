"""A Hugging Face Hub on this machine: the part of its API that downloads use, and how it may fail.

As on the real one, a large file is answered with a redirect to a server for content ("CDN"), here
on another port, and a small one with its content. Both of its own clients work with it:
``HfApi.model_info`` and ``hf_hub_download``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".zip", ".safetensors", ".pkl")


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    server: str
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Repository:
    """Commits of a repository, the newest last."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    private: bool = False

    def commit(self, files: dict[str, bytes], ref: str = "main") -> str:
        digest = hashlib.sha1(json.dumps([len(self.commits), ref, sorted(files)]).encode())
        sha = digest.hexdigest()
        self.commits[sha] = dict(files)
        self.refs[ref] = sha
        return sha

    def find(self, revision: str) -> str | None:
        long = [sha for sha in self.commits if len(revision) >= 7 and sha.startswith(revision)]
        return self.refs.get(revision) or (long[0] if long else None)


class Hub:
    """The server, its repositories, and what it was asked."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self.token = "hf_secret_token"
        #: Changes what is told about a repository, or answers something else than JSON.
        self.lie: Callable[[dict[str, Any]], Any] = lambda info: info
        #: Changes the content that is sent: parts, and headers that replace the right ones.
        self.send: Callable[[str, bytes], tuple[Iterable[bytes], dict[str, str | None]]] | None = (
            None
        )
        #: Headers of the answers that name a file.
        self.extra_headers: dict[str, str] = {}
        self.status: int | None = None
        self.endpoint = ""
        self.cdn = ""

    def repository(self, name: str) -> Repository:
        return self.repositories.setdefault(name, Repository())

    def asked(self, server: str = "hub") -> list[str]:
        return [request.path for request in self.requests if request.server == server]


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    """Run a Hub and its content server until the end of the block."""
    hub = Hub()
    with _running(hub, "hub") as hub.endpoint, _running(hub, "cdn") as hub.cdn:
        yield hub


@contextlib.contextmanager
def _running(hub: Hub, name: str) -> Iterator[str]:
    handler = type("Handler", (_Handler,), {"hub": hub, "name": name})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        # Two names of this machine, so that the content server is another host.
        host = "localhost" if name == "cdn" else "127.0.0.1"
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    name: str
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.requests.append(Request(self.name, self.command, self.path, headers))
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if self.hub.status is not None:
            return self._error(self.hub.status, "")
        if self.name == "cdn":
            return self._content(*self._stored(parts[0], parts[1], parts[2], "/".join(parts[3:])))
        if parts[:2] == ["api", "models"]:
            revision = parts[5] if len(parts) > 5 else "main"
            return self._info("/".join(parts[2:4]), revision, parse_qs(url.query))
        if len(parts) > 4 and parts[2] == "resolve":
            return self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self._error(404, "")

    def _stored(self, owner: str, repo: str, sha: str, name: str) -> tuple[str, bytes]:
        return name, self.hub.repositories[f"{owner}/{repo}"].commits[sha][name]

    def _known(self, name: str, revision: str) -> tuple[Repository, str] | None:
        """Find a commit, or send why there is none."""
        repository = self.hub.repositories.get(name)
        authorized = self.headers.get("authorization") == f"Bearer {self.hub.token}"
        if repository is None or (repository.private and not authorized):
            # The real one does not tell strangers what exists.
            self._error(404 if authorized else 401, "RepoNotFound")
            return None
        sha = repository.find(revision)
        if sha is None:
            self._error(404, "RevisionNotFound")
            return None
        return repository, sha

    def _info(self, name: str, revision: str, query: dict[str, list[str]]) -> None:
        known = self._known(name, revision)
        if known is None:
            return
        repository, sha = known
        blobs = query.get("blobs", [""])[0].lower() == "true"
        info: Any = {
            "_id": "0123456789abcdef01234567",
            "id": name,
            "modelId": name,
            "sha": sha,
            "private": repository.private,
            "gated": "auto" if repository.gated else False,
            "tags": ["reinforcement-learning"],
            "cardData": {"tags": ["reinforcement-learning"]},
            "siblings": [
                _sibling(file, content, blobs=blobs)
                for file, content in repository.commits[sha].items()
            ],
        }
        told = self.hub.lie(info)
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        self._send(200, {"Content-Type": "application/json; charset=utf-8"}, [body])

    def _file(self, name: str, revision: str, path: str) -> None:
        known = self._known(name, revision)
        if known is None:
            return
        repository, sha = known
        authorized = self.headers.get("authorization") == f"Bearer {self.hub.token}"
        if repository.gated and not authorized:
            return self._error(401, "GatedRepo")
        content = repository.commits[sha].get(path)
        if content is None:
            return self._error(404, "EntryNotFound", {"X-Repo-Commit": sha})
        about = {"X-Repo-Commit": sha, "ETag": f'"{_git(content)}"', **self.hub.extra_headers}
        if not path.endswith(LARGE):
            return self._content(path, content, about)
        about |= {
            "X-Linked-Size": str(len(content)),
            "X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "Location": f"{self.hub.cdn}/{name}/{sha}/{path}?Signature=signed",
            **self.hub.extra_headers,
        }
        return self._send(302, about, [f"Found. Redirecting to {about['Location']}".encode()])

    def _content(self, name: str, content: bytes, about: dict[str, str] | None = None) -> None:
        parts, changes = self.hub.send(name, content) if self.hub.send else ([content], {})
        headers = {"Content-Length": str(len(content)), **(about or {}), **changes}
        self._send(200, {k: v for k, v in headers.items() if v is not None}, parts)

    def _error(self, status: int, code: str, more: dict[str, str] | None = None) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": "a message\tof the server"}
        self._send(status, {**headers, **(more or {})}, [b'{"error": "a message of the server"}'])

    def _send(self, status: int, headers: dict[str, str], parts: Iterable[bytes]) -> None:
        self.send_response(status)
        if "Content-Length" not in headers and status != 200:
            parts = list(parts)
            headers = {**headers, "Content-Length": str(sum(map(len, parts)))}
        if "Content-Length" not in headers:
            # Without a length, the end of the content is the end of the connection.
            headers = {**headers, "Connection": "close"}
            self.close_connection = True
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        # A client that has seen enough hangs up.
        with contextlib.suppress(ConnectionError):
            for part in parts:
                self.wfile.write(part)


def _sibling(name: str, content: bytes, *, blobs: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": name}
    if blobs:
        entry |= {"size": len(content), "blobId": _git(content)}
    if blobs and name.endswith(LARGE):
        digest = hashlib.sha256(content).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 1\n"
        entry |= {"blobId": _git(pointer.encode())}
        entry |= {"lfs": {"sha256": digest, "size": len(content), "pointerSize": len(pointer)}}
    return entry


def _git(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
