"""Tasks of every kind of space, policies over them, and the single-task policies they equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor, NatureCNN
from torch import Tensor

from rltransfer.policies.multitask import MultiTaskPolicy
from rltransfer.policies.packing import Packing, mask_size
from rltransfer.policies.tasks import PolicyTask

OBSERVATIONS: dict[str, gym.Space] = {
    "vector": spaces.Box(-2.0, 2.0, (5,), np.float32),
    "matrix": spaces.Box(-2.0, 2.0, (2, 3), np.float32),
    "bits": spaces.MultiBinary(4),
    "class": spaces.Discrete(4, start=2),
    "classes": spaces.MultiDiscrete([3, 2]),
    "image": spaces.Box(0, 255, (36, 36, 3), np.uint8),
    "grid": spaces.Box(0, 255, (7, 7, 3), np.uint8),
    "dict": spaces.Dict({"v": spaces.Box(-1.0, 1.0, (3,), np.float32), "c": spaces.Discrete(3)}),
}
ACTIONS: dict[str, gym.Space] = {
    "discrete": spaces.Discrete(3),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multibinary": spaces.MultiBinary(3),
    "box": spaces.Box(-1.0, 1.0, (2,), np.float32),
}
WIDTH, SIZES = 6, [5, 4]


def task(id: str, observations: str, actions: str, **options: Any) -> PolicyTask:
    """Describe a task by the names of its spaces."""
    return PolicyTask(
        id=id,
        observation_space=OBSERVATIONS[observations],
        action_space=ACTIONS[actions],
        **options,
    )


def every_kind() -> list[PolicyTask]:
    """Tasks whose single-task policies Stable-Baselines3 has."""
    return [
        task("a/vector-v0", "vector", "discrete"),
        task("a/matrix-v0", "matrix", "multidiscrete"),
        task("a/bits-v0.1", "bits", "multibinary"),
        task("a/class-v0", "class", "box", log_std=-0.5),
        task("a/classes-v0", "classes", "discrete"),
        task("a/image-v0", "image", "box", log_std=0.3),
    ]


def masked() -> list[PolicyTask]:
    """Tasks with masks, and one without."""
    return [
        task("a/one-v0", "vector", "discrete", masked=True),
        task("a/some-v0", "matrix", "multidiscrete", masked=True),
        task("a/bits-v0", "vector", "multibinary", masked=True),
        task("a/none-v0", "vector", "discrete"),
    ]


def policy_of(tasks: Sequence[PolicyTask], **options: Any) -> MultiTaskPolicy:
    """Make a policy in double precision, whose weights are not those of a beginning."""
    packing = Packing(tasks)
    given = {"width": WIDTH, "trunk_kwargs": {"sizes": SIZES}, **options}
    policy = MultiTaskPolicy(
        packing.observation_space, packing.action_space, lambda _: 1e-3, tasks=tasks, **given
    )
    return shaken(policy.double())


def shaken(policy: Any) -> Any:
    """Move the weights far enough that each matters."""
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return policy


def observed(task: PolicyTask, count: int) -> Any:
    """Draw observations of a task."""
    space = task.observation_space
    drawn = [space.sample() for _ in range(count)]
    if isinstance(space, spaces.Dict):
        return {key: np.stack([one[key] for one in drawn]) for key in space.spaces}
    return np.stack(drawn)


def acted(task: PolicyTask, count: int) -> np.ndarray:
    """Draw packed actions of a task, its own numbers alone."""
    drawn = np.stack([task.action_space.sample() for _ in range(count)])
    return drawn.reshape(count, -1).astype(np.float32)


def masks_of(task: PolicyTask, actions: np.ndarray) -> np.ndarray:
    """Draw masks that allow given actions."""
    space: Any = task.action_space
    masks = np.random.rand(len(actions), mask_size(space)) < 0.4
    counts = {spaces.Discrete: lambda: [space.n], spaces.MultiBinary: lambda: [2] * space.n}
    widths = counts.get(type(space), lambda: space.nvec)()
    starts = np.cumsum([0, *widths[:-1]])
    for row, action in enumerate(actions.astype(int)):
        masks[row, starts + action] = True
    return masks


class Mixed:
    """A batch of several tasks, packed, and task by task.

    Attributes:
        observations: Packed, shape (n, 1 + P).
        actions: Packed, shape (n, A).
        rows: Rows of each task.
        own: Each task's observations, actions (n, components) and masks.
    """

    def __init__(self, policy: Any, counts: Sequence[int], *, shuffle: bool = True) -> None:
        np.random.seed(3)
        for index, one in enumerate(policy.tasks):
            one.observation_space.seed(index)
            one.action_space.seed(index)
        observations, actions, self.own = [], [], []
        width = policy.packing.action_space.shape[0]
        for index, (one, count) in enumerate(zip(policy.tasks, counts, strict=True)):
            seen = observed(one, max(count, 1))
            done = acted(one, max(count, 1))
            masks = masks_of(one, done) if one.masked else None
            packed = policy.packing.observations(index, seen, masks)
            observations.append(packed[:count])
            actions.append(np.pad(done, ((0, 0), (0, width - done.shape[1])))[:count])
            self.own.append((seen, done, masks))
        tasks = np.repeat(np.arange(len(counts)), counts)
        order = np.random.permutation(len(tasks)) if shuffle else np.arange(len(tasks))
        back = np.argsort(order)
        self.rows = [torch.from_numpy(back[tasks == index]) for index in range(len(counts))]
        self.observations = torch.from_numpy(np.concatenate(observations)[order])
        self.actions = torch.from_numpy(np.concatenate(actions)[order]).double()
        self.counts = list(counts)


class DoubleFlatten(FlattenExtractor):
    """Flattened observations in double precision."""

    def forward(self, observations: Tensor) -> Tensor:
        return super().forward(observations).double()


class DoubleCnn(NatureCNN):
    """NatureCNN in double precision, on images that are not divided yet."""

    def forward(self, observations: Tensor) -> Tensor:
        return super().forward(observations.double() / 255)


def twin_of(policy: MultiTaskPolicy, index: int) -> ActorCriticPolicy:
    """Make Stable-Baselines3's policy of one task, with the same weights."""
    task = policy.tasks[index]
    made: Any = MaskableActorCriticPolicy if task.masked else ActorCriticPolicy
    space, arch, given = task.observation_space, [WIDTH, *SIZES], {}
    extractor: Any = DoubleFlatten
    if space == OBSERVATIONS["image"]:
        space, arch, extractor = spaces.Box(0, 255, (3, 36, 36), np.uint8), SIZES, DoubleCnn
        given = {"features_extractor_kwargs": {"features_dim": WIDTH}, "normalize_images": False}
    twin = made(
        *(space, task.action_space, lambda _: 1e-3),
        net_arch={"pi": arch, "vf": arch},
        features_extractor_class=extractor,
        share_features_extractor=False,
        **given,
    ).double()
    with torch.no_grad():
        for ours, its in pairs(policy, index, twin):
            if its.shape == ours.shape:
                its.copy_(ours)
            else:  # sb3-contrib gives each bit two outputs, for off and on
                its.zero_()[1::2] = ours
    return twin


def pairs(policy: Any, index: int, twin: Any) -> list[tuple[Tensor, Tensor]]:
    """Parameters of a policy, and those of the twin that stand for the same."""
    task = policy.tasks[index]
    extractors = twin.mlp_extractor
    ours, its = [], []
    for stream, front, net in (
        (policy.actor, twin.pi_features_extractor, extractors.policy_net),
        (policy.critic, twin.vf_features_extractor, extractors.value_net),
    ):
        ours += [*stream.encoders[task.encoder].parameters(), *stream.trunk.parameters()]
        its += [*front.parameters(), *net.parameters()]
    ours += policy.action_heads[task.head].parameters()
    ours += policy.value_heads[task.key].linear.parameters()
    its += [*twin.action_net.parameters(), *twin.value_net.parameters()]
    if task.continuous:
        ours.append(policy.log_stds[task.head])
        its.append(twin.log_std)
    return list(zip(ours, its, strict=True))


def by_twin(policy: Any, mixed: Mixed, index: int, twin: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Values, log probabilities and entropies of one task's rows, by its twin."""
    seen, done, masks = mixed.own[index]
    if policy.tasks[index].observation_space == OBSERVATIONS["image"]:
        seen = seen.transpose(0, 3, 1, 2)
    space: Any = policy.tasks[index].observation_space
    seen = seen - getattr(space, "start", 0)
    actions = torch.from_numpy(done).double()
    given = {} if masks is None else {"action_masks": torch.from_numpy(masks)}
    if not isinstance(policy.tasks[index].action_space, spaces.Box | spaces.MultiBinary):
        actions = actions.long()
    if isinstance(policy.tasks[index].action_space, spaces.Discrete):
        actions = actions[:, 0]
    values, log_prob, entropy = twin.evaluate_actions(torch.as_tensor(seen), actions, **given)
    return values[:, 0], log_prob, entropy
