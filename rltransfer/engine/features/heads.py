"""What SB3's actor-critic policies compute from features."""

from __future__ import annotations

from typing import Any

from torch import Tensor

Evaluated = tuple[Tensor, Tensor, Tensor | None]


def evaluate_features(policy: Any, features: Any, actions: Tensor) -> Evaluated:
    """Evaluate actions, as ``policy.evaluate_actions`` does from observations.

    Args:
        policy: An ``ActorCriticPolicy``.
        features: Features, or those of actor and critic.
        actions: Actions, as the policy takes them.

    Returns:
        Values, shape (B, 1), log probabilities, (B,), and entropies, (B,), or None where they have
        no closed form.
    """
    distribution, values = _heads(policy, features)
    return values, distribution.log_prob(actions), distribution.entropy()


def act_on_features(policy: Any, features: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Choose actions, as ``policy.forward`` does from observations.

    Args:
        policy: An ``ActorCriticPolicy``.
        features: Features, or those of actor and critic.

    Returns:
        Actions, values, shape (B, 1), and log probabilities, (B,).
    """
    distribution, values = _heads(policy, features)
    actions = distribution.get_actions()
    log_prob = distribution.log_prob(actions)
    return actions.reshape((-1, *policy.action_space.shape)), values, log_prob


def _heads(policy: Any, features: Any) -> tuple[Any, Tensor]:
    if policy.share_features_extractor:
        latent_pi, latent_vf = policy.mlp_extractor(features)
    else:
        latent_pi = policy.mlp_extractor.forward_actor(features[0])
        latent_vf = policy.mlp_extractor.forward_critic(features[1])
    values = policy.value_net(latent_vf)
    return policy._get_action_dist_from_latent(latent_pi), values
