"""Vectors for sentences by a language model in a local folder (extra ``language``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rltransfer.errors import BadArgument, BadCheckpoint, MissingExtra


class SentenceEncoder:
    """A frozen language model that embeds sentences, each once.

    Call it with sentences; it fits wherever ``embed`` is asked for. A vector is the mean of what
    the last layer gives for the tokens (Reimers & Gurevych 2019, section 3: better than the output
    at ``[CLS]``), of length 1. Sentences are computed one by one, so that a vector does not depend
    on which others were asked for.

    Args:
        folder: A folder of sentence-transformers or transformers, such as that of
            ``all-MiniLM-L6-v2``, with ``config.json``, a tokenizer and ``model.safetensors``.
            Nothing is downloaded, and no code in it is run.
        normalize: Whether vectors get length 1; otherwise they are the means.

    Attributes:
        size: Numbers of a vector.

    Raises:
        MissingExtra: The package transformers is not installed.
        BadCheckpoint: The folder holds no such model.

    Source: Reimers & Gurevych 2019, "Sentence-BERT: Sentence embeddings using Siamese
    BERT-networks"; Wang et al. 2020, "MiniLM".
    """

    def __init__(self, folder: str | Path, *, normalize: bool = True) -> None:
        folder = Path(folder).expanduser()
        if not (folder / "config.json").is_file():
            raise BadCheckpoint(f"{folder} has no config.json: expected a folder of transformers")
        self._tokenize, self._model = _read(folder)
        self.size = int(self._model.config.hidden_size)
        self._normalize = normalize
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, sentences: Sequence[str]) -> np.ndarray:
        """Embed sentences.

        Args:
            sentences: The sentences.

        Returns:
            Shape (len(sentences), size), float32.

        Raises:
            BadArgument: One is no text, or blank.
        """
        for sentence in sentences:
            if not isinstance(sentence, str) or not sentence.strip():
                raise BadArgument(f"{sentence!r:.80} is no sentence: say in words what to do")
            if sentence not in self._known:
                self._known[sentence] = self._embed(sentence)
        found = [self._known[sentence] for sentence in sentences]
        return np.stack(found) if found else np.zeros((0, self.size), np.float32)

    @torch.no_grad()
    def _embed(self, sentence: str) -> np.ndarray:
        tokens = self._tokenize(sentence, return_tensors="pt", truncation=True)
        vector = self._model(**tokens).last_hidden_state[0].mean(dim=0)
        if self._normalize:
            vector = torch.nn.functional.normalize(vector, dim=0)
        return vector.float().numpy()


def _read(folder: Path) -> tuple[Any, Any]:
    """Read tokenizer and model, from safetensors alone: other weights are pickles."""
    try:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise MissingExtra.of(f"a language model such as {folder.name}", "language") from error
    local: dict[str, Any] = {"local_files_only": True}
    showed = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            tokenizer = AutoTokenizer.from_pretrained(str(folder), **local)
            model = AutoModel.from_pretrained(str(folder), use_safetensors=True, **local)
    except Exception as error:  # what is damaged makes the parsers of its parts raise anything
        why = (str(error).strip().splitlines() or [repr(error)])[0]
        raise BadCheckpoint(f"{folder}: no language model can be read: {why:.300}") from error
    finally:
        if showed:
            logging.enable_progress_bar()
    return tokenizer, model.eval().requires_grad_(False)
