"""The format of an agent on disk: ``NAME.safetensors`` and ``NAME.json``.

The tensors are in the first file. The second holds everything else as JSON, with the sha256 of
the first file under ``weights.sha256`` (what ``sha256sum NAME.safetensors`` prints) and, last, the
sha256 of its own text before that line. So every changed, missing or added byte is noticed, and so
is a file that belongs to another agent. Nothing in either is ever executed.

What a crash leaves. A save puts the new text into ``NAME.json.new`` first, then renames the new
tensors into place, then the text. A reader takes ``NAME.json.new`` if the tensors are the ones that
it names. Hence after a kill at any moment the old agent loads or the new one does, never a mixture,
and never nothing where something was. This holds for one writer at a time per name.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from rltransfer.agents import files
from rltransfer.agents.jsondata import parse, render
from rltransfer.agents.upgrades import upgrade
from rltransfer.errors import BadArgument, BadCheckpoint, NotWritable

FORMAT = "rltransfer-agent"
VERSION = 1
SUFFIXES = (".safetensors", ".json")
#: Largest files that are read, in bytes.
MAX_TENSORS = 2**30
MAX_TEXT = 2**22
_MAX_HEADER = 2**22
_MAX_COUNT = 2**13
_DTYPES = frozenset(
    {
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
        *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool),
    }
)


def stem(path: str | Path) -> Path:
    """Strip ``.safetensors`` or ``.json``, and expand ``~``."""
    path = Path(path).expanduser()
    return path.with_suffix("") if path.suffix in SUFFIXES else path


def pair(path: str | Path) -> tuple[Path, Path]:
    """Return the paths of the tensors and of the text of the agent at ``path``."""
    base = stem(path)
    if not base.name:
        raise BadArgument(f"{str(path)!r} names no file: expected a path such as agents/cartpole")
    return base.with_name(base.name + SUFFIXES[0]), base.with_name(base.name + SUFFIXES[1])


def write(
    path: str | Path, tensors: Mapping[str, torch.Tensor], document: Mapping[str, Any]
) -> str:
    """Store an agent, replacing the one that is there.

    Args:
        path: With or without a suffix; the folder must exist.
        tensors: Finite, contiguous CPU tensors that share no memory.
        document: JSON data.

    Returns:
        The sha256 of the agent, hexadecimal.

    Raises:
        BadArgument: The agent is larger than what is read back.
        NotWritable: It could not be written. The agent that was there before is unharmed.
    """
    tensor_path, text_path = pair(path)
    pending = _pending(text_path)
    content, text, digest = seal(tensors, document)
    if len(content) > MAX_TENSORS or len(text) > MAX_TEXT or not _is_small(content):
        raise BadArgument(f"{path}: an agent of {len(content) + len(text)} bytes is too large")
    for target in (tensor_path, text_path):
        if os.path.isdir(target):
            raise NotWritable(f"{target}: cannot be written: it is a folder; choose another name")
    staged = files.stage(tensor_path, content)
    try:
        files.atomic_write(pending, text)
        files.publish(staged, tensor_path)
    except BaseException:
        # A file that is renamed already is no longer under its first name, and is needed.
        if staged.exists():
            files.discard(staged)
            files.discard(pending)
        raise
    # If this fails, the pending text stays, and is read.
    files.publish(pending, text_path)
    return digest


def seal(
    tensors: Mapping[str, torch.Tensor], document: Mapping[str, Any]
) -> tuple[bytes, bytes, str]:
    """Turn an agent into the bytes of its two files.

    Returns:
        The bytes of the tensors, the bytes of the text, and the sha256 of the agent.
    """
    content = safetensors.torch.save(dict(tensors))
    weights = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    body = {"format": FORMAT, "version": VERSION, **document, "weights": weights}
    digest = hashlib.sha256(render(body)).hexdigest()
    return content, render({**body, "sha256": digest}), digest


def read(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the agent that :func:`write` stored, whole and unchanged.

    Returns:
        The tensors by name, and the document.

    Raises:
        BadCheckpoint: A file is missing, corrupt, truncated, of another agent, or of a newer
            version of the format.
    """
    tensor_path, text_path = pair(path)
    _check_present(tensor_path, text_path)
    content = files.read(tensor_path, MAX_TENSORS)
    document = _matching_text(text_path, tensor_path, hashlib.sha256(content).hexdigest())
    try:
        return unpack(content), document
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{tensor_path}: {error}") from error


def read_text(path: Path) -> dict[str, Any]:
    """Read the JSON file of an agent alone, and check it against its own sha256.

    Raises:
        BadCheckpoint: It is not the unchanged text of an agent.
    """
    text = files.read(path, MAX_TEXT)
    try:
        return unseal(text)
    except BadCheckpoint as error:
        raise BadCheckpoint(f"{path}: {error}") from error


def looks_like_agent(path: Path) -> bool:
    """Tell whether a JSON file begins as the text of an agent does, sound or not."""
    beginning = render({"format": FORMAT}).removesuffix(b"\n}\n")
    with path.open("rb") as file:
        return file.read(len(beginning)) == beginning


def unseal(text: bytes) -> dict[str, Any]:
    """Check the text of an agent against its own sha256, and return the document in it.

    A document of an older version is returned as one of today's, with the sha256 of its file.

    Raises:
        BadCheckpoint: It is not the unchanged text of an agent, or of a newer version.
    """
    document = parse(text)
    if document.get("format") != FORMAT:
        raise BadCheckpoint("not an agent of rltransfer")
    text = text.replace(b"\r\n", b"\n")  # line ends may change in a checkout
    digest = document.pop("sha256", None)
    # Compared as text as well, so that no byte is free.
    if digest != _digest_of_body(text) or not _is_canonical(text, document | {"sha256": digest}):
        raise BadCheckpoint("corrupt, or edited after it was saved: its sha256 does not fit")
    return upgrade(document, VERSION) | {"sha256": digest}


def _digest_of_body(text: bytes) -> str:
    """Return the sha256 of the text of an agent as it was before the last line was added."""
    return hashlib.sha256(text[: text.rfind(b',\n "sha256": ')] + b"\n}\n").hexdigest()


def _is_canonical(text: bytes, document: Mapping[str, Any]) -> bool:
    try:
        return render(document) == text
    except RecursionError as error:
        raise BadCheckpoint("nested too deep") from error


def unpack(content: bytes) -> dict[str, torch.Tensor]:
    """Read the bytes of a safetensors file.

    Raises:
        BadCheckpoint: It is malformed, has a header beyond 4 MiB or of more than 8,192 tensors, a
            dtype that policies do not use, or a value that is NaN or inf.
    """
    if len(content) < 8 or not _is_small(content):
        raise BadCheckpoint("not a safetensors file, or one with too large a header")
    try:
        tensors = safetensors.torch.load(content)
    except (
        *(safetensors.SafetensorError, ArithmeticError, AssertionError, LookupError),
        *(MemoryError, RuntimeError, TypeError, ValueError),
    ) as error:
        raise BadCheckpoint(f"not a safetensors file: {error!r:.200}") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES:
            raise BadCheckpoint(f"tensor {name!r} has dtype {tensor.dtype}, not one of a policy")
        if not torch.isfinite(tensor).all():
            raise BadCheckpoint(f"tensor {name!r} holds NaN or inf")
    # Own memory: a reader that writes into a tensor must not write into the file's bytes.
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _is_small(content: bytes) -> bool:
    """Tell whether the header of a safetensors file, which has an object a tensor, is worth it."""
    (length,) = struct.unpack("<Q", content[:8])
    return length <= _MAX_HEADER and content.count(b"{", 8, 8 + length) <= _MAX_COUNT


def _pending(text_path: Path) -> Path:
    return text_path.with_name(text_path.name + ".new")


def _check_present(tensor_path: Path, text_path: Path) -> None:
    missing = [path for path in (tensor_path, text_path) if not os.path.exists(path)]
    if len(missing) == 2:
        raise BadCheckpoint(
            f"no agent at {stem(tensor_path)}: expected {tensor_path.name} and {text_path.name}"
        )
    if text_path in missing and os.path.exists(_pending(text_path)):
        return
    if missing:
        raise BadCheckpoint(f"{missing[0]} is missing: an agent is two files, copy both")


def _matching_text(text_path: Path, tensor_path: Path, digest: str) -> dict[str, Any]:
    """Return the document that names the tensors: the current one, or one that a crash left."""
    failure = None
    for path in (text_path, _pending(text_path)):
        if not os.path.exists(path):
            continue
        try:
            document = read_text(path)
        except BadCheckpoint as error:
            failure = failure or error
            continue
        weights = document.get("weights")
        if isinstance(weights, dict) and weights.get("sha256") == digest:
            return document
        failure = failure or BadCheckpoint(
            f"{tensor_path}: corrupt, or of another agent than {text_path.name}: "
            "its sha256 does not fit"
        )
    raise failure or BadCheckpoint(f"{text_path} is missing: it was removed while it was read")
