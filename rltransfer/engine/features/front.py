"""The frozen front of a policy's features extractor."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from rltransfer.engine.features.branch import Branch
from rltransfer.engine.features.observing import more_observations
from rltransfer.engine.features.probing import all_trains, find_branch

# One entry if actor and critic share their extractor, else the actor's and the critic's. An entry
# is a tensor; for an extractor without a frozen layer it is the observation itself.
Activations = tuple[Any, ...]
Features = Tensor | tuple[Tensor, Tensor]

# A policy that defines one of these anew may not compute what the front and the heads compute.
METHODS = ("forward", "evaluate_actions", "extract_features", "predict_values")


class FrozenFront:
    """The layers of a policy's features extractors that give the same for the same observation.

    These are frozen layers (no parameter has ``requires_grad``) from the observation up to the
    first that trains. BatchNorm and Dropout count as frozen only while something holds them in
    evaluation mode during updates. Partly frozen extractors are cut where they are a chain of
    modules; others (residual ones, Dict observations) are taken whole or not at all.

    Attributes:
        whole: Whether no extractor has a layer behind the front, so that features need no gradient.
        device: Where it computes.
    """

    def __init__(self, policy: Any, branches: tuple[Branch, ...]) -> None:
        self._branches = branches
        self.device: torch.device = policy.device
        self.whole = all(branch.whole for branch in branches)
        # Held, so that no other tensor gets the identity of one of them.
        self._tensors = self._find_tensors()

    @classmethod
    def of(cls, policy: Any, observation: Any) -> FrozenFront | None:
        """Find the frozen front of a policy.

        The extractors are run a few times, which leaves no trace in their modes and buffers or in
        torch's random stream. Nothing is run if nothing is frozen.

        Args:
            policy: The policy.
            observation: Some observations, as ``obs_as_tensor`` gives them.

        Returns:
            The front; None if no layer is frozen, if there is no work to save
            (``FlattenExtractor``), if someone else's hooks watch the extractor, or if the policy
            computes features in its own way.
        """
        if not computes_as_sb3(policy):
            return None
        extractors = extractors_of(policy)
        if all(map(all_trains, extractors)):
            return None
        observation = more_observations(policy.observation_space, observation)
        branches = tuple(find_branch(policy, one, observation) for one in extractors)
        return None if all(branch.empty for branch in branches) else cls(policy, branches)

    @property
    def description(self) -> str:
        """Where the front ends, for a report."""
        names = ("features",) if len(self._branches) == 1 else ("actor.features", "critic.features")
        named = zip(names, self._branches, strict=True)
        return ", ".join(f"{name}: {branch.describe()} frozen" for name, branch in named)

    @property
    def stores(self) -> tuple[bool, ...]:
        """By branch, whether its activations are worth keeping: all but bare observations."""
        return tuple(not branch.empty for branch in self._branches)

    @torch.no_grad()
    def compute(self, observation: Any) -> Activations:
        """Run the frozen layers.

        Args:
            observation: Observations as ``obs_as_tensor`` gives them.
        """
        return tuple(branch.front(observation) for branch in self._branches)

    def finish(self, activations: Activations) -> Features:
        """Run the other layers.

        Returns:
            What ``policy.extract_features`` gives: features, or those of actor and critic.
        """
        features = tuple(
            branch.rest(activation)
            for branch, activation in zip(self._branches, activations, strict=True)
        )
        return features[0] if len(features) == 1 else (features[0], features[1])

    def fingerprint(self) -> object:
        """A value that changes when the front would compute something else, or is one no more.

        It knows of tensors that were replaced, modified in place or thawed, and of modules that are
        no longer held in evaluation mode. Changes through ``tensor.data.copy_`` and the like, which
        torch does not count, show in the sum of a tensor.
        """
        found = self._find_tensors()
        tensors = tuple((id(t), t._version, t.data_ptr(), t.requires_grad) for t in found)
        # Read at once, since each reading waits for a GPU.
        sums = [t.detach().sum(dtype=torch.float64) for t in found]
        totals = torch.stack(sums).cpu().numpy().tobytes() if sums else b""
        return (
            tensors,
            totals,
            tuple(tuple(module._forward_pre_hooks) for module in self._find_modules()),
        )

    def _find_modules(self) -> list[nn.Module]:
        tops = [module for branch in self._branches for module in branch.front_modules]
        return [module for top in tops for module in top.modules()]

    def _find_tensors(self) -> list[Tensor]:
        return [
            tensor
            for module in self._find_modules()
            for tensor in (*module._parameters.values(), *module._buffers.values())
            if tensor is not None
        ]


def computes_as_sb3(policy: Any) -> bool:
    """Tell whether features, values and actions of a policy are computed by SB3's own methods."""
    return isinstance(policy, ActorCriticPolicy) and all(
        getattr(type(policy), name) is getattr(ActorCriticPolicy, name) and name not in vars(policy)
        for name in METHODS
    )


def extractors_of(policy: Any) -> tuple[nn.Module, ...]:
    """The extractor of actor and critic, or the actor's and the critic's."""
    if policy.share_features_extractor:
        return (policy.features_extractor,)
    return policy.pi_features_extractor, policy.vf_features_extractor
