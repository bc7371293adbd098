"""All terms of one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.utils import obs_as_tensor
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from rltransfer.engine.terms import Evaluated
from rltransfer.training.terms.closed import ClosedTerm
from rltransfer.training.terms.performance import Performance
from rltransfer.training.terms.term import Batch, Seen, Term, below


class Working:
    """Runs terms side by side, and logs them.

    Args:
        terms: With different names.
        performance: How the learner does next to its source; None where no strength fades by it.
    """

    def __init__(self, terms: Sequence[Term], performance: Performance | None = None) -> None:
        self.terms = tuple(terms)
        self._performance = performance
        self._raw: list[Any] = []
        self._losses: dict[str, list[Tensor]] = {}

    def rollout_begins(self, model: Any) -> None:
        """Note the observations that the first actions of a rollout see."""
        self._raw = []
        self.observe(model)

    def observe(self, model: Any) -> None:
        """Note what the environments observed just now, before it was normalized."""
        normalizer = model.get_vec_normalize_env()
        if normalizer is not None and normalizer.norm_obs and self.terms:
            self._raw.append(normalizer.get_original_obs())

    def take(self, model: Any) -> dict[str, float] | None:
        """Give the rollout to terms that want it to themselves.

        Returns:
            What these want logged, as ``NAME/WHAT``; None if there are none.
        """
        waiting = [term for term in self.terms if term.waits]
        if not waiting:
            return None
        seen = self._seen(model)
        for term in waiting:
            term.take(seen)
        return {f"{one.name}/{what}": value for one in waiting for what, value in one.end().items()}

    def begin(self, model: Any) -> None:
        """Look at the rollout before the update on it."""
        self._losses = {}
        if self._performance:
            self._performance.look(model)
        seen = self._seen(model)
        for term in self.terms:
            term.begin(seen)

    def loss(self, evaluated: Evaluated) -> Tensor | None:
        """Give the sum of all losses on a minibatch, with their strengths."""
        batch, total = Batch(evaluated), None
        with _statistics_held(evaluated.policy):
            for term in self.terms:
                found = term.loss(batch) if term.strength else None
                if found is not None:
                    self._losses.setdefault(term.name, []).append(found.detach())
                    weighted = term.strength * found
                    total = weighted if total is None else total + weighted
        return total

    @property
    def withheld(self) -> int:
        """Entries of weights that terms keep from training now."""
        return sum(term.withheld for term in self.terms)

    def differentiated(self) -> None:
        """Let terms change gradients."""
        for term in self.terms:
            term.differentiated()

    def stepped(self) -> None:
        """Let terms change weights."""
        for term in self.terms:
            term.stepped()

    def end(self) -> dict[str, float]:
        """Finish the update.

        Returns:
            Strength and mean loss of each term, and what else it wants logged, as ``NAME/WHAT``.
        """
        found = {"performance": self._performance.ratio} if self._performance else {}
        for term in self.terms:
            found[f"{term.name}/strength"] = float(term.strength)
            if term.name in self._losses:
                found[f"{term.name}/loss"] = torch.stack(self._losses[term.name]).mean().item()
            found |= {f"{term.name}/{name}": value for name, value in term.end().items()}
        return found

    @property
    def closed(self) -> bool:
        """Whether closed form can train with all that take part in this update."""
        return all(isinstance(one, ClosedTerm) or not one.strength for one in self.terms)

    def at_outputs(
        self,
        rows: np.ndarray,
        outputs: np.ndarray,
        log_std: tuple[np.ndarray, np.ndarray],
        delta: np.ndarray,
    ) -> float:
        """Add to the gradient by the actor's outputs; see :mod:`rltransfer.engine.terms`."""
        total = 0.0
        for term in self._closed_terms():
            found = term.by_outputs(rows, outputs, log_std[0])
            if found is None:
                continue
            delta += term.strength * found.outputs
            if found.log_std is not None:
                log_std[1][...] += term.strength * found.log_std
            total += self._note(term, found.loss)
        return total

    def at_weights(
        self, weights: Mapping[str, np.ndarray], gradients: Mapping[str, np.ndarray]
    ) -> float:
        """Add to the gradients by weights; see :mod:`rltransfer.engine.terms`."""
        total = 0.0
        for term in self._closed_terms():
            loss, found = term.by_weights(weights)
            for name, gradient in found.items():
                gradients[name][...] += term.strength * gradient
            total += self._note(term, loss) if found else 0.0
        return total

    def _closed_terms(self) -> list[ClosedTerm]:
        return [one for one in self.terms if isinstance(one, ClosedTerm) and one.strength]

    def _note(self, term: Term, loss: float) -> float:
        self._losses.setdefault(term.name, []).append(torch.tensor(loss))
        return term.strength * loss

    def state(self) -> dict[str, Tensor]:
        """What a resumed training needs, by ``NAME/WHAT``."""
        compared = self._performance.state() if self._performance else {}
        return {f"performance/{name}": value for name, value in compared.items()} | {
            f"{term.name}/{name}": value
            for term in self.terms
            for name, value in term.state().items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        if self._performance:
            self._performance.restore(below("performance/", state))
        for term in self.terms:
            term.restore(below(f"{term.name}/", state))

    def _seen(self, model: Any) -> Seen:
        stored = model.rollout_buffer.observations
        flat = _rows(stored)
        # The last one is what the next rollout begins with.
        raw = _rows(_stacked(self._raw[:-1])) if self._raw else flat
        return Seen(
            model=model,
            observations=obs_as_tensor(flat, model.device),
            raw=raw,
            progress=1.0 - model._current_progress_remaining,
            ratio=self._performance.ratio if self._performance else 0.0,
        )


@contextmanager
def _statistics_held(policy: Any) -> Iterator[None]:
    """Let BatchNorm not learn from what terms show it besides the rollout."""
    found = (one for one in policy.modules() if isinstance(one, _BatchNorm))
    layers = [one for one in found if one.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def _rows(stored: Any) -> Any:
    """View (steps, environments, ...) as rows."""
    if isinstance(stored, Mapping):
        return {key: _rows(part) for key, part in stored.items()}
    return stored.reshape(-1, *stored.shape[2:])


def _stacked(steps: Sequence[Any]) -> Any:
    if isinstance(steps[0], Mapping):
        return {key: np.stack([one[key] for one in steps]) for key in steps[0]}
    return np.stack(steps)
