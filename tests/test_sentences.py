"""Vectors for sentences without a language model."""

from __future__ import annotations

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


def test_every_process_and_machine_gives_the_same() -> None:
    # Two words, the pair of them, and the runs <go, go>, <on and on>, hashed by hand.
    expected = np.array([0, 1, 0, 0, 0, 0, -1, -1]) / 3**0.5
    assert embed(["go on"], size=8)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("sentence", ["", "  ", "?!", None, 3])
def test_what_is_no_sentence(sentence: Any) -> None:
    with pytest.raises(BadArgument, match="is no sentence"):
        embed(["go", sentence])


@pytest.mark.parametrize("size", [0, 2.5, None])
def test_sizes_that_cannot_be(size: Any) -> None:
    with pytest.raises(BadArgument, match="size is"):
        embed(["go"], size=size)
