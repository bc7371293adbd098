"""Agents of the Hugging Face Hub, against a server on this machine that speaks its API."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from agent_cases import assert_same_tensors
from hub_server import Hub, serving
from processes import environment, files, tiny_agent
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from rltransfer.agents import Agent, hub
from rltransfer.agents.hub import choosing
from rltransfer.agents.hub.lock import NAME
from rltransfer.agents.hub.reference import Reference
from rltransfer.errors import (
    BadArgument,
    BadCheckpoint,
    MissingExtra,
    NotReachable,
    NotWritable,
    TransferError,
    UnknownName,
)

huggingface_hub = pytest.importorskip("huggingface_hub")
Load = Callable[..., Agent]


@pytest.fixture(scope="module")
def agent() -> Agent:
    return tiny_agent()


@pytest.fixture(scope="module")
def exported(agent: Agent, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a Hub folder."""
    return files(hub.write_folder(agent, tmp_path_factory.mktemp("out") / "tiny"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("HF_TOKEN", "")
    with serving() as running:
        yield running
    huggingface_hub.close_session()


@pytest.fixture
def load(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """``hub.load`` from that server, in an empty folder, with an empty cache."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def call(reference: str, **options: Any) -> Agent:
        return hub.load(reference, endpoint=server.endpoint, cache=tmp_path / "cache", **options)

    return call


@pytest.fixture
def sha(server: Hub, exported: dict[str, bytes]) -> str:
    """The commit of ``me/tiny``, which holds the exported folder."""
    return server.repository("me/tiny").commit(exported)


def locked(path: str = NAME) -> dict[str, Any]:
    return json.loads(Path(path).read_text())["agents"]


def relocked(change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(Path(NAME).read_text())
    change(document["agents"])
    Path(NAME).write_text(json.dumps(document))


def commit_agent(server: Hub, repository: str, agent: Agent, ref: str = "main") -> str:
    with TemporaryDirectory() as folder:
        agent.save(Path(folder) / "a")
        return server.repository(repository).commit(files(Path(folder)), ref)


# ---- the server itself ----


def test_the_clients_of_the_hub_work_with_the_server(
    server: Hub, sha: str, exported: dict[str, bytes], tmp_path: Path
) -> None:
    api = huggingface_hub.HfApi(endpoint=server.endpoint, token=False)
    info = api.model_info("me/tiny", files_metadata=True)
    assert info.sha == sha and {s.rfilename for s in info.siblings} == set(exported)
    zipped = next(s for s in info.siblings if s.rfilename == "tiny.zip")
    assert zipped.lfs.size == zipped.size == len(exported["tiny.zip"])
    for name, content in exported.items():
        path = api.hf_hub_download("me/tiny", name, revision=sha, cache_dir=tmp_path)
        assert Path(path).read_bytes() == content
    for repository, file, error in (
        ("me/none", "tiny.zip", huggingface_hub.errors.RepositoryNotFoundError),
        ("me/tiny", "none.zip", huggingface_hub.errors.EntryNotFoundError),
    ):
        with pytest.raises(error):
            api.hf_hub_download(repository, file, cache_dir=tmp_path)


# ---- loading and the lock file ----


def test_an_exported_folder_comes_back_whole(
    load: Load, server: Hub, sha: str, agent: Agent, exported: dict[str, bytes]
) -> None:
    loaded = load("hub:me/tiny")
    assert loaded.sha256 == agent.sha256
    assert server.asked() == [
        "/api/models/me/tiny?blobs=true",
        f"/me/tiny/resolve/{sha}/tiny.safetensors",
        f"/me/tiny/resolve/{sha}/tiny.json",
    ]
    assert locked() == {
        "hub:me/tiny": {
            "revision": sha,
            "asked": "",
            "files": {
                name: {
                    "bytes": len(exported[name]),
                    "sha256": sha256(exported[name]).hexdigest(),
                }
                for name in ("tiny.safetensors", "tiny.json")
            },
        }
    }


def test_a_second_load_asks_nothing_and_moves_with_no_branch(
    load: Load, server: Hub, sha: str, agent: Agent
) -> None:
    load("hub:me/tiny")
    other = agent.with_card(notes="another")
    commit_agent(server, "me/tiny", other)
    server.requests.clear()
    assert load("hub:me/tiny").sha256 == agent.sha256
    assert server.requests == []
    assert load("hub:me/tiny", update=True).sha256 == other.sha256
    assert locked()["hub:me/tiny"]["revision"] != sha
    assert load("hub:me/tiny").sha256 == other.sha256


def test_a_pinned_agent_needs_no_network_and_no_hub(
    load: Load, server: Hub, sha: str, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    load("hub:me/tiny")
    server.requests.clear()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert load("hub:me/tiny").sha256 == agent.sha256
    with pytest.raises(NotReachable, match="HF_HUB_OFFLINE is set"):
        load("hub:me/tiny", lock="other.json")
    assert server.requests == [] and not Path("other.json").exists()


def test_the_cache_is_shared_with_huggingface_hub(
    load: Load, server: Hub, sha: str, agent: Agent, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"revision": sha, "cache_dir": tmp_path / "cache"}
    api = huggingface_hub.HfApi(endpoint=server.endpoint)
    api.hf_hub_download("me/tiny", "tiny.safetensors", **options)
    server.requests.clear()
    assert load("hub:me/tiny").sha256 == agent.sha256
    assert [path for path in server.asked() if "resolve" in path] == [
        f"/me/tiny/resolve/{sha}/tiny.json"
    ]
    found = api.hf_hub_download("me/tiny", "tiny.json", local_files_only=True, **options)
    assert Path(found).read_bytes() == server.repositories["me/tiny"].commits[sha]["tiny.json"]


def test_a_damaged_cache_heals(load: Load, sha: str, agent: Agent, tmp_path: Path) -> None:
    load("hub:me/tiny")
    for path in (tmp_path / "cache").rglob("tiny.*"):
        path.write_bytes(path.read_bytes()[:-1])
    assert load("hub:me/tiny").sha256 == agent.sha256
    assert load("hub:me/tiny").sha256 == agent.sha256


def test_files_that_nobody_verified_are_not_looked_at(
    load: Load, sha: str, agent: Agent, tmp_path: Path
) -> None:
    load("hub:me/tiny")
    text = next((tmp_path / "cache").rglob("tiny.json"))
    agent.with_card(notes="planted").save(text.parent / "planted")
    (text.parent / "planted.json").rename(text.parent / "tiny.json.new")
    text.unlink()
    assert load("hub:me/tiny").card.notes == ""


@pytest.mark.parametrize("where", ["lock", "server"])
def test_a_file_that_differs_from_the_lock_file_is_refused(
    where: str, load: Load, server: Hub, sha: str, tmp_path: Path
) -> None:
    load("hub:me/tiny")
    name = "tiny.safetensors"
    if where == "lock":
        relocked(lambda agents: agents["hub:me/tiny"]["files"][name].update(sha256="0" * 64))
    else:
        commit = server.repositories["me/tiny"].commits[sha]
        commit[name] = commit[name][:-1] + bytes([commit[name][-1] ^ 1])
        next((tmp_path / "cache").rglob(name)).unlink()
    before = Path(NAME).read_bytes()
    with pytest.raises(BadCheckpoint, match=r"tiny.safetensors has sha256 .* rltransfer.lock.json"):
        load("hub:me/tiny")
    assert Path(NAME).read_bytes() == before
    assert len(list((tmp_path / "cache").rglob(".*.tmp"))) == 0


def test_a_revision_is_asked_for_by_branch_tag_or_commit(
    load: Load, server: Hub, sha: str, agent: Agent
) -> None:
    other = agent.with_card(notes="tagged")
    tagged = commit_agent(server, "me/tiny", other, ref="v1.0")
    assert load("hub:me/tiny@v1.0").sha256 == other.sha256
    assert locked()["hub:me/tiny"]["asked"] == "v1.0"
    server.requests.clear()
    for revision in ("", "@v1.0", f"@{tagged}", f"@{tagged[:8]}"):
        assert load(f"hub:me/tiny{revision}").sha256 == other.sha256
    assert server.requests == []
    # A tag that was moved is still what was pinned; another name for the same commit is, too.
    server.repositories["me/tiny"].refs |= {"v1.0": sha, "best": tagged}
    assert load("hub:me/tiny@v1.0").sha256 == load("hub:me/tiny@best").sha256 == other.sha256
    for revision in ("main", sha, sha[:9]):
        with pytest.raises(BadArgument) as caught:
            load(f"hub:me/tiny@{revision}")
        message = str(caught.value)
        assert f"is commit {sha[:12]}, but {NAME} pins {tagged[:12]}" in message
        assert "update=True" in message and "delete the entry 'hub:me/tiny'" in message
    assert load(f"hub:me/tiny@{sha}", update=True).sha256 == agent.sha256
    assert locked()["hub:me/tiny"]["revision"] == sha


def test_the_lock_file_keeps_other_agents(load: Load, server: Hub, sha: str, agent: Agent) -> None:
    commit_agent(server, "you/other", agent)
    load("hub:you/other")
    load("hub:me/tiny")
    load("hub:me/tiny:tiny.safetensors")
    assert list(locked()) == ["hub:me/tiny", "hub:me/tiny:tiny.safetensors", "hub:you/other"]
    load("hub:me/tiny", lock="deep.lock.json")
    assert list(locked("deep.lock.json")) == ["hub:me/tiny"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"format": "rltransfer-lock", "version": 2, "agents": {}}',
        '{"format": "rltransfer-lock", "version": 1, "agents": {}, "more": 1}',
        '{"format": "rltransfer-lock", "version": 1, "agents": {"me/tiny": {}}}',
        '{"format": "rltransfer-lock", "version": 1, "agents": {"hub:me/tiny": {}}}',
    ],
)
def test_a_malformed_lock_file_is_an_error(text: str, load: Load, server: Hub, sha: str) -> None:
    Path(NAME).write_text(text)
    with pytest.raises(BadCheckpoint, match="repair the lock file, or delete it"):
        load("hub:me/tiny")
    assert Path(NAME).read_text() == text and server.requests == []


@pytest.mark.parametrize(
    "change",
    [
        lambda pin: pin.update(revision="main"),
        lambda pin: pin.update(revision="../" * 13 + "x"),
        lambda pin: pin.update(asked=None),
        lambda pin: pin.update(token="x"),
        lambda pin: pin["files"].update({"../../x.zip": pin["files"]["tiny.json"]}),
        lambda pin: pin["files"].update({"more.pkl": pin["files"]["tiny.json"]}),
        lambda pin: pin["files"].pop("tiny.json"),
        lambda pin: pin["files"]["tiny.json"].update(bytes=-1),
        lambda pin: pin["files"]["tiny.json"].update(bytes=2**40),
        lambda pin: pin["files"]["tiny.json"].update(bytes=True),
        lambda pin: pin["files"]["tiny.json"].update(sha256="A" * 64),
    ],
)
def test_a_lock_file_that_makes_no_sense_is_an_error(
    change: Callable[[Any], Any], load: Load, server: Hub, sha: str
) -> None:
    load("hub:me/tiny")
    server.requests.clear()
    relocked(lambda agents: change(agents["hub:me/tiny"]))
    with pytest.raises(BadCheckpoint):
        load("hub:me/tiny")
    assert server.requests == []


def test_an_agent_that_cannot_be_pinned_is_not_given(load: Load, sha: str) -> None:
    with pytest.raises(NotWritable, match="nowhere"):
        load("hub:me/tiny", lock="nowhere/x.json")


# ---- which files ----


def names(*given: str) -> dict[str, bytes]:
    return {name: b"x" for name in given}


@pytest.mark.parametrize(
    ("given", "filename", "expected"),
    [
        # What the RL Zoo uploads.
        (
            "ppo-A-v1.zip args.yml config.yml env_kwargs.yml vec_normalize.pkl results.json "
            "train_eval_metrics.zip replay.mp4 README.md ppo-A-v1/data ppo-A-v1/policy.pth",
            "",
            "ppo-A-v1.zip vec_normalize.pkl args.yml config.yml",
        ),
        ("a.safetensors a.json a.zip a.vecnormalize.pkl README.md", "", "a.safetensors a.json"),
        ("a.safetensors a.json a.zip a.vecnormalize.pkl", "a.zip", "a.zip a.vecnormalize.pkl"),
        ("a.safetensors a.json b.zip", "b", "b.zip"),
        ("a.safetensors a.json b.zip", "a.json", "a.safetensors a.json"),
        ("a.safetensors a.json b.zip", "a", "a.safetensors a.json"),
        ("model.safetensors config.json a.zip", "", "a.zip"),
        ("x/a.zip x/vecnormalize.pkl config.yml y/args.yml", "", "x/a.zip x/vecnormalize.pkl"),
        ("a.zip b.zip vecnormalize.pkl", "b.zip", "b.zip vecnormalize.pkl"),
    ],
)
def test_the_files_of_an_agent_are_chosen(given: str, filename: str, expected: str) -> None:
    reference = Reference("me/x", filename=filename)
    choice = choosing.choose(given.split(), reference)
    assert " ".join(choice.files) == expected and choice.main == choice.files[0]


@pytest.mark.parametrize(
    ("given", "filename", "error", "words"),
    [
        ("README.md a.bin a.safetensors", "", BadCheckpoint, "holds no agent: expected NAME"),
        ("a.zip b.zip", "", BadCheckpoint, "hub:me/x:a.zip; there are a.zip, b.zip"),
        ("a.zip a.json b.safetensors b.json c.safetensors c.json", "", BadCheckpoint, "2 agents"),
        ("a.zip b.zip", "c.zip", UnknownName, "no agent of the repository is named 'c.zip'"),
        ("cart.zip b.zip", "car.zip", UnknownName, "Did you mean 'cart.zip'"),
        ("a.zip vecnormalize.pkl", "vecnormalize.pkl", BadArgument, "is no agent: expected one of"),
        ("a.zip train_eval_metrics.zip", "train_eval_metrics.zip", UnknownName, "Known: a.zip"),
    ],
)
def test_a_choice_that_cannot_be_made_is_an_error(
    given: str, filename: str, error: type, words: str, load: Load, server: Hub
) -> None:
    server.repository("me/x").commit(names(*given.split()))
    with pytest.raises(error) as caught:
        load("hub:me/x" + (f":{filename}" if filename else ""))
    assert words in str(caught.value)
    assert len(server.requests) == 1 and files(Path()) == {}


@pytest.mark.parametrize(
    "name",
    [
        *("../evil.zip", "/etc/evil.zip", "a/../../evil.zip", "a\\..\\evil.zip", "C:evil.zip"),
        *("a//evil.zip", ".ssh/evil.zip", "~/evil.zip", "a\nb.zip", "a\0.zip", "x" * 300 + ".zip"),
        *("./evil.zip", "a/./evil.zip", "a. /evil.zip", "\u202egpz.zip", "a/b/c/d/e/f/g/h/i.zip"),
    ],
)
def test_names_of_a_server_stay_below_its_folder(
    name: str, load: Load, server: Hub, tmp_path: Path
) -> None:
    server.repository("me/x").commit(names(name))
    before = files(tmp_path)
    with pytest.raises(BadCheckpoint, match="unsafe file name"):
        load("hub:me/x")
    server.repository("me/y").commit(names(name.removesuffix(".zip") + ".safetensors"))
    with pytest.raises(BadCheckpoint):
        load("hub:me/y")
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "text",
    [
        *("hub:", "hub:x", "hub:a/b/c", "hub:a/b@", "hub:a/b:", "hub:a/b@x@y", "a/b", "hub:a b/c"),
        *(
            "hub:../b",
            "hub:a/..",
            "hub:a/b..c",
            "hub:a--b/c",
            "hub:a/b.git",
            "hub:a/.b",
            "hub:a/b-",
        ),
        *(
            "hub:a/b-",
            "hub:a/b@../x",
            "hub:a/b@x?y",
            "hub:a/b@-x",
            "hub:a/b:../x.zip",
            "hub:a/b:/x.zip",
        ),
        *("hub:a/b:x\n.zip", "hub:a/b#x", f"hub:a/{'b' * 100}", "hub:a/b\n", "hub:http://x/y"),
    ],
)
def test_a_malformed_reference_is_an_error(text: str, load: Load, server: Hub) -> None:
    with pytest.raises(BadArgument, match=r"hub:owner/repo\[@revision\]\[:filename\]") as caught:
        load(text)
    assert len(str(caught.value).splitlines()) == 1 and server.requests == []


# ---- sizes, and servers that lie ----


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        *(("a.zip", 512), ("a.safetensors", 512), ("a.json", 64), ("vec_normalize.pkl", 64)),
        *(("args.yml", 1), ("config.yml", 1)),
    ],
)
def test_a_file_that_is_too_large_is_not_asked_for(
    name: str, limit: int, load: Load, server: Hub
) -> None:
    own = name in ("a.safetensors", "a.json")
    beside = ("a.safetensors", "a.json") if own else ("a.zip", name)
    server.repository("me/x").commit(names(*beside))

    def lie(info: dict[str, Any]) -> dict[str, Any]:
        for entry in info["siblings"]:
            if entry["rfilename"] == name:
                entry["size"] = limit * 2**20 + 1
                entry.get("lfs", {})["size"] = limit * 2**20 + 1
        return info

    server.lie = lie
    with pytest.raises(BadCheckpoint, match=f"{name} has .* no more than {limit * 2**20:,} are"):
        load("hub:me/x")
    assert len(server.requests) == 1 and files(Path()) == {}


def endless(_: str, content: bytes) -> Any:
    return [content, *[b"\0" * 2**20] * 64], {"Content-Length": None}


LIES: dict[str, tuple[Callable[[str, bytes], Any], type[TransferError], str]] = {
    "without end": (endless, BadCheckpoint, "the server sends more"),
    "announced as more": (
        lambda _, content: ([content], {"Content-Length": str(10**12)}),
        BadCheckpoint,
        "the server sends '1000000000000'",
    ),
    "cut": (lambda _, c: ([c[:-9]], {"Content-Length": None}), BadCheckpoint, "the server sends"),
    "cut short of what is announced": (
        lambda _, content: ([content[:-9]], {"Connection": "close"}),
        NotReachable,
        "no answer from",
    ),
    "of another content": (
        lambda _, content: ([content[:-1] + b"\0"], {}),
        BadCheckpoint,
        "not what the Hub's own list of files says",
    ),
    "compressed": (
        lambda _, content: ([content], {"Content-Encoding": "gzip"}),
        NotReachable,
        "compresses",
    ),
    "of another commit": (
        lambda _, content: ([content], {"X-Repo-Commit": "0" * 40}),
        BadCheckpoint,
        "the server sends commit '000",
    ),
}


@pytest.mark.parametrize("case", LIES)
@pytest.mark.parametrize("name", ["tiny.safetensors", "tiny.json"])
def test_a_server_that_sends_something_else_leaves_nothing(
    case: str, name: str, load: Load, server: Hub, sha: str, tmp_path: Path
) -> None:
    send, error, words = LIES[case]
    server.send = lambda file, content: send(file, content) if file == name else ([content], {})
    with pytest.raises(error) as caught:
        load("hub:me/tiny")
    assert words in str(caught.value) and len(str(caught.value).splitlines()) == 1
    left = {path: content for path, content in files(tmp_path).items() if content}
    assert not any(path.endswith((name, NAME, ".tmp")) for path in left)
    server.send = None
    load("hub:me/tiny")


def test_a_stream_without_end_is_cut_at_the_first_byte_too_many(
    load: Load, server: Hub, sha: str, tmp_path: Path
) -> None:
    sent, written = 0, []

    def parts(content: bytes) -> Iterator[bytes]:
        nonlocal sent
        yield content
        for _ in range(512):
            with contextlib.suppress(FileNotFoundError):
                written.extend(path.stat().st_size for path in tmp_path.rglob(".*.tmp"))
            sent += 2**20
            yield b"\0" * 2**20

    server.send = lambda _, content: (parts(content), {"Content-Length": None})
    with pytest.raises(BadCheckpoint, match="the server sends more"):
        load("hub:me/tiny")
    time.sleep(0.1)
    # What the two ends of a connection hold; the server would have sent 512 MiB.
    assert 0 < sent <= 32 * 2**20
    size = len(server.repositories["me/tiny"].commits[sha]["tiny.safetensors"])
    assert max(written) <= size


def test_no_header_names_a_file(load: Load, server: Hub, sha: str, tmp_path: Path) -> None:
    evil = "../" * 4 + "evil"
    server.extra_headers = {
        **{"ETag": f'"{evil}"', "X-Linked-ETag": f'"{evil}"'},
        "Content-Disposition": f'attachment; filename="{evil}";',
    }
    before = set(tmp_path.parent.iterdir())
    load("hub:me/tiny")
    assert set(tmp_path.parent.iterdir()) == before
    made = {Path(path).name for path, content in files(tmp_path).items() if content}
    assert made == {"tiny.safetensors", "tiny.json", NAME}


@pytest.mark.parametrize(
    "lie",
    [
        lambda _: b"<html>Please log in to this network</html>",
        lambda _: b"[]",
        lambda _: b'{"sha": NaN}',
        lambda _: b"[" * 100_000,
        lambda info: {**info, "sha": "main"},
        lambda info: {**info, "sha": None},
        lambda info: {**info, "siblings": None},
        lambda info: {**info, "siblings": ["tiny.zip"]},
        lambda info: {**info, "siblings": [{"rfilename": 3}]},
    ],
)
def test_an_answer_that_is_none_of_a_hub_is_an_error(
    lie: Callable[[Any], Any], load: Load, server: Hub, sha: str
) -> None:
    server.lie = lie
    with pytest.raises(NotReachable, match="does not answer like a Hub"):
        load("hub:me/tiny")


def test_a_list_of_files_without_end_is_cut(load: Load, server: Hub, sha: str) -> None:
    server.lie = lambda info: json.dumps(info).encode() + b" " * 2**24
    with pytest.raises(BadCheckpoint, match="too long"):
        load("hub:me/tiny")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", None),
        ("size", -1),
        ("size", True),
        ("size", "9"),
        ("blobId", "x"),
        ("blobId", None),
    ],
)
def test_a_file_without_size_or_digest_is_refused(
    field: str, value: Any, load: Load, server: Hub, sha: str
) -> None:
    def lie(info: dict[str, Any]) -> dict[str, Any]:
        for entry in info["siblings"]:
            entry[field] = value
        return info

    server.lie = lie
    with pytest.raises(BadCheckpoint, match=r"the Hub (does not say|gives no digest) .*tiny.json"):
        load("hub:me/tiny")
    assert len(server.requests) == 1


# ---- refusals, tokens, and manners ----


def test_each_refusal_says_what_to_do(load: Load, server: Hub, sha: str) -> None:
    server.repository("me/private").private = True
    server.repository("me/gated").gated = True
    for name in ("me/private", "me/gated"):
        server.repository(name).commit(names("a.zip"))
    cases: list[tuple[str, type[TransferError], str]] = [
        ("hub:me/none", UnknownName, "has no such repository, or it is private"),
        ("hub:me/private", UnknownName, "log in with `hf auth login`"),
        ("hub:me/gated", NotReachable, "accept the terms on its page, and log in"),
        ("hub:me/tiny@v9", UnknownName, "me/tiny@v9: no such branch, tag or commit"),
    ]
    for reference, error, words in cases:
        with pytest.raises(error) as caught:
            load(reference)
        assert words in str(caught.value) and len(str(caught.value).splitlines()) == 1
    for status in (403, 429, 500, 503):
        server.status = status
        with pytest.raises(NotReachable, match=r"denies access|try again later"):
            load("hub:me/tiny")
    assert not Path(NAME).exists()


def test_a_file_that_vanished_is_an_error(
    load: Load, server: Hub, sha: str, tmp_path: Path
) -> None:
    load("hub:me/tiny")
    del server.repositories["me/tiny"].commits[sha]["tiny.json"]
    next((tmp_path / "cache").rglob("tiny.json")).unlink()
    with pytest.raises(UnknownName, match=r"tiny.json: no such file in the repository"):
        load("hub:me/tiny")


def test_a_server_that_is_down_is_an_error(load: Load, server: Hub) -> None:
    with serving() as other:
        gone = other.endpoint
    with pytest.raises(NotReachable, match=r"no answer from 127.0.0.1:\d+ \(ConnectError\)"):
        hub.load("hub:me/tiny", endpoint=gone)


@pytest.mark.parametrize(
    "address", ["ftp://x", "localhost:1", "file:///etc", "http://", "http://[x"]
)
def test_the_address_of_the_hub_is_checked(address: str) -> None:
    with pytest.raises(BadArgument, match="HF_ENDPOINT"):
        hub.load("hub:me/tiny", endpoint=address)


def test_the_token_goes_to_the_hub_alone(
    load: Load,
    server: Hub,
    exported: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository = server.repository("me/secret")
    repository.private = True
    repository.commit(exported)
    monkeypatch.setenv("HF_TOKEN", server.token)
    load("hub:me/secret")
    for request in server.requests:
        assert ("authorization" in request.headers) == (request.server == "hub"), request
    assert {request.server for request in server.requests} == {"hub", "cdn"}
    assert server.token not in Path(NAME).read_text()
    server.send = endless
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(BadCheckpoint) as caught:
        load("hub:me/secret", lock="other.json")
    assert server.token not in str(caught.value) and "Signature" not in str(caught.value)
    address = server.endpoint.replace("http://", "http://user:password@")
    server.status = 500
    with pytest.raises(NotReachable) as refused:
        hub.load("hub:me/tiny", endpoint=address)
    assert "password" not in str(refused.value)


def test_nothing_is_told_and_nothing_is_printed(
    load: Load, server: Hub, sha: str, capfd: pytest.CaptureFixture[str]
) -> None:
    load("hub:me/tiny")
    assert {request.headers["user-agent"] for request in server.requests} == {"rltransfer"}
    assert capfd.readouterr() == ("", "")


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"pip install 'rltransfer\[hub\]'"):
        hub.load("hub:me/tiny")


def test_huggingface_hub_is_not_imported_before_it_is_needed() -> None:
    code = "import rltransfer, sys; print('huggingface_hub' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_full_disk_is_an_error(
    load: Load, server: Hub, sha: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "models--me--tiny").write_text("a file where a folder has to be")
    with pytest.raises(NotWritable, match="HF_HUB_CACHE"):
        load("hub:me/tiny")


def test_a_foreign_agent_is_an_error_without_the_path_of_a_copy(load: Load, server: Hub) -> None:
    sha = server.repository("me/x").commit({"a.safetensors": b"x", "a.json": b"{}"})
    with pytest.raises(BadCheckpoint, match="not an agent of rltransfer") as caught:
        load("hub:me/x")
    assert str(caught.value).startswith(f"hub:me/x@{sha[:12]}: a.json: ")
    assert files(Path()) == {}


def test_options_that_nothing_reads_are_refused(load: Load, sha: str) -> None:
    with pytest.raises(BadArgument, match="task= is for zips"):
        load("hub:me/tiny", task="CartPole-v1")
    with pytest.raises(BadArgument, match="normalization= is for zips"):
        load("hub:me/tiny", normalization=False)


# ---- zips of Stable-Baselines3 ----


def test_the_zip_of_an_exported_folder_loads(
    load: Load, sha: str, agent: Agent, exported: dict[str, bytes]
) -> None:
    loaded = load("hub:me/tiny:tiny.zip", task="CartPole-v1")
    assert list(locked()["hub:me/tiny:tiny.zip"]["files"]) == ["tiny.zip"]
    assert loaded.card.task == "CartPole-v1" and loaded.hyperparameters == agent.hyperparameters
    assert_same_tensors(loaded.weights, agent.weights)
    assert f"hub:me/tiny@{sha}:tiny.zip" in loaded.card.notes
    assert "/tmp" not in loaded.card.notes


def test_a_zip_of_the_rl_zoo_loads_with_its_statistics(
    load: Load, server: Hub, tmp_path: Path
) -> None:
    env = VecNormalize(make_vec_env("CartPole-v1", 2))
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16, n_epochs=1, device="cpu").learn(32)
    model.save(tmp_path / "model.zip")
    env.save(str(tmp_path / "vec_normalize.pkl"))
    uploaded = {name: (tmp_path / name).read_bytes() for name in ("model.zip", "vec_normalize.pkl")}
    uploaded |= {"train_eval_metrics.zip": b"no agent", "args.yml": b"!!python/tuple []\n"}
    server.repository("you/ppo-CartPole-v1").commit(uploaded)
    loaded = load("hub:you/ppo-CartPole-v1")
    assert loaded.card.task == "CartPole-v1"  # by the name of the repository
    assert loaded.normalization is not None
    assert np.array_equal(loaded.normalization.obs_stats.mean, env.obs_rms.mean)
    assert_same_tensors(loaded.weights, model.policy.state_dict())
    pinned = locked()["hub:you/ppo-CartPole-v1"]["files"]
    assert list(pinned) == ["model.zip", "vec_normalize.pkl", "args.yml"]


def test_the_zip_of_a_normalized_agent_is_exported_with_its_statistics(
    load: Load, server: Hub, tmp_path: Path
) -> None:
    normalized = tiny_agent(normalize_obs=True, name="CartPole-v1")
    server.repository("me/x").commit(files(hub.write_folder(normalized, tmp_path / "up")))
    loaded = load("hub:me/x:CartPole-v1.zip")
    for spec in (loaded.normalization, normalized.normalization):
        assert spec is not None and spec.obs
    assert np.array_equal(
        loaded.normalization.obs_stats.var, normalized.normalization.obs_stats.var
    )
    assert loaded.card.task == "CartPole-v1"


def test_an_error_in_a_zip_names_the_agent_and_no_copy(load: Load, server: Hub) -> None:
    sha = server.repository("me/x").commit(names("a.zip"))
    with pytest.raises(BadCheckpoint) as caught:
        load("hub:me/x")
    message = str(caught.value)
    assert message.startswith(f"hub:me/x@{sha[:12]}: a.zip") and "rltransfer-" not in message
    assert files(Path()) == {}


def test_it_is_what_load_and_the_command_use(
    server: Hub, sha: str, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path / "home")}
    code = "import rltransfer as rlt; print(rlt.load('hub:me/tiny').sha256)"
    commands = {
        agent.sha256: [sys.executable, "-c", code],
        "tiny: PPO with MlpPolicy": [sys.executable, "-m", "rltransfer", "show", "hub:me/tiny"],
    }
    for words, command in commands.items():
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(**places), capture_output=True, text=True
        )
        assert done.returncode == 0 and done.stdout.startswith(words), done.stderr
    assert (tmp_path / NAME).exists() and os.listdir(tmp_path / "home")
