"""Vectors for sentences without a language model."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from rltransfer.errors import BadArgument
from rltransfer.policies.sentences import SIZE, embed

SENTENCES = ["Open the red door", "open the blue door", "pick up a grey key"]


def test_vectors_have_length_one() -> None:
    vectors = embed(SENTENCES)
    assert vectors.shape == (3, SIZE) == (3, 64) and vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], rel=1e-6)
    assert embed(SENTENCES, size=7).shape == (3, 7) and embed([]).shape == (0, 64)


def test_sentences_that_share_words_are_near() -> None:
    near = embed(SENTENCES) @ embed(SENTENCES).T
    assert near[0, 1] > 0.5 > near[0, 2]
    same = embed(["Open  the RED door!"])[0] @ embed(["open the red door"])[0]
    assert same == pytest.approx(1), "case and punctuation say nothing"
    order = embed(["from red to blue"])[0] @ embed(["from blue to red"])[0]
    assert order < 0.99, "pairs of words tell the order"


def test_other_processes_give_the_same_bits() -> None:
    code = (
        "from rltransfer.policies.sentences import embed; "
        f"print(embed({SENTENCES!r}).tobytes().hex())"
    )
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"],
            env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == embed(SENTENCES).tobytes().hex()


@pytest.mark.parametrize("sentence", ["", "  ", "?!", None, 3])
def test_what_is_no_sentence(sentence: Any) -> None:
    with pytest.raises(BadArgument, match="is no sentence"):
        embed(["go", sentence])


@pytest.mark.parametrize("size", [0, 2.5, None])
def test_sizes_that_cannot_be(size: Any) -> None:
    with pytest.raises(BadArgument, match="size is"):
        embed(["go"], size=size)
