"""Vectors for sentences without a language model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from rltransfer.errors import BadArgument

SIZE = 64
_WORD = re.compile(r"\w+")


def embed(sentences: Sequence[str], *, size: int = SIZE) -> np.ndarray:
    """Embed sentences by hashing their parts.

    It knows words, not meanings: "open the door" is near "open the red door", and as far from
    "unlock the gate" as from anything else. For meanings give a language model, such as the
    ``encode`` of a model of the package sentence-transformers.

    Each word, each pair of neighbouring words and each run of three characters of a word adds 1 or
    -1 to one of the numbers, both chosen by a hash of it (the signed hashing trick; Weinberger et
    al. 2009, "Feature hashing for large scale multitask learning", section 2). Vectors have length
    1. They are the same in every process and on every machine.

    Args:
        sentences: The sentences; upper and lower case are the same.
        size: Numbers of a vector, at least 1.

    Returns:
        Shape (len(sentences), size), float32.

    Raises:
        BadArgument: A sentence has no word, or ``size`` is outside its range.
    """
    if type(size) is not int or size < 1:
        raise BadArgument(f"size is {size!r}: give a whole number, at least 1")
    vectors = np.zeros((len(sentences), size), np.float64)
    for row, sentence in zip(vectors, sentences, strict=True):
        if not isinstance(sentence, str) or not _WORD.search(sentence):
            raise BadArgument(f"{sentence!r:.80} is no sentence: say in words what to do")
        for part in _parts(sentence.lower()):
            digest = int.from_bytes(hashlib.blake2b(part.encode(), digest_size=8).digest(), "big")
            row[(digest >> 1) % size] += 1.0 if digest & 1 else -1.0
        row /= max(float(np.linalg.norm(row)), 1e-12)  # signs may cancel, if hardly all of them
    return vectors.astype(np.float32)


def _parts(sentence: str) -> Iterator[str]:
    """Words, pairs of words and runs of three characters, each kind with a mark of its own."""
    words = _WORD.findall(sentence)
    for word in words:
        yield f"word {word}"
        marked = f"<{word}>"
        yield from (f"run {marked[i : i + 3]}" for i in range(len(marked) - 2))
    for first, second in pairwise(words):
        yield f"pair {first} {second}"
