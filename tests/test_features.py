"""The frozen front is found, kept, given up when it changes, and changes nothing in learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn
from torch.nn import functional
from update_cases import (
    ACTIONS,
    BOX,
    DICT,
    IMAGE,
    N_ENVS,
    N_STEPS,
    ROWS,
    SMALL_IMAGE,
    assert_same,
    collected,
    double_precision,
    new_model,
    observed,
    rollout_of,
    settings_of,
    twins,
)

from rltransfer.engine import autograd
from rltransfer.engine.acting import PolicyActor
from rltransfer.engine.features import FeatureCache, FrontActor, FrozenFront
from rltransfer.layers import layer_groups
from rltransfer.training.locks import ModuleLocks

PLENTY = 1 << 30


class Extractor(BaseFeaturesExtractor):
    """Base of the extractors below."""

    def __init__(self, observation_space: spaces.Space) -> None:
        super().__init__(observation_space, 6)
        self.build()


class Convolutions(Extractor):
    """Convolutions with BatchNorm and Dropout, and ReLUs that work in place."""

    def build(self) -> None:
        self.first = nn.Sequential(nn.Conv2d(1, 3, 3, stride=2), nn.ReLU(inplace=True))
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.3)
        self.last = nn.Sequential(nn.Flatten(), nn.Linear(75, 6), nn.ReLU(inplace=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.drop(self.norm(self.first(x))))


class Residual(Extractor):
    """Reads the output of its first layer twice."""

    def build(self) -> None:
        self.first = nn.Linear(4, 6)
        self.second = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)
        return hidden + self.second(hidden)


class Functional(Residual):
    """Works on the output of its first layer before the second reads it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).tanh_())


class Plain(Residual):
    """Two layers in a row."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x))


class Seldom(Residual):
    """Drops out so seldom that no few runs show it."""

    def build(self) -> None:
        super().build()
        self.drop = nn.Dropout(1e-7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.drop(self.first(x)))


class Forgetful(Plain):
    """Drops out without a Dropout module."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.dropout(super().forward(x), 0.2, training=self.training)


class Between(Residual):
    """Drops out between its layers without a Dropout module."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.dropout(self.first(x), 0.2, training=self.training)
        return self.second(hidden)


class Picky(Plain):
    """Takes observations of its task alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if (x < 0).any():
            raise ValueError("none of my observations")
        return super().forward(x)


class Relative(Plain):
    """Tells each row how it differs from the others."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = super().forward(x)
        return x - x.mean(0)


class Counting(Plain):
    """Counts what it sees."""

    seen: torch.Tensor

    def build(self) -> None:
        super().build()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen += len(x)
        return super().forward(x)


class OwnFeatures(ActorCriticPolicy):
    """Computes features in its own way."""

    def extract_features(self, obs: Any, features_extractor: Any = None) -> Any:
        return 2.0 * super().extract_features(obs, features_extractor)  # type: ignore[operator]


def _freeze(*paths: str) -> Any:
    def prepare(model: PPO) -> None:
        for path in paths:
            model.policy.get_submodule(path).requires_grad_(False)

    return prepare


def _using(kind: type, **more: Any) -> dict[str, Any]:
    return {"policy_kwargs": {"features_extractor_class": kind, "net_arch": [8], **more}}


def _lock(model: PPO) -> ModuleLocks:
    """Hold what is frozen in evaluation mode, as recipes do."""
    groups = layer_groups(model.policy)
    names = dict(model.policy.named_parameters())
    frozen = [
        name
        for name, group in groups.items()
        if not any(names[key].requires_grad for key in group.parameters)
    ]
    locks = ModuleLocks(model.policy, groups)
    locks.apply(frozen)
    return locks


def _front(model: PPO) -> FrozenFront | None:
    return FrozenFront.of(model.policy, observed(model, 0))


def _fill(model: PPO, front: FrozenFront, limit: int = PLENTY) -> FeatureCache:
    cache = FeatureCache(front, N_STEPS, N_ENVS, limit)
    model.policy.set_training_mode(False)
    for step in range(N_STEPS):
        cache.put(step, front.compute(observed(model, step)))
    return cache


def _model(kind: Any, *frozen: str, observations: spaces.Space = BOX, **more: Any) -> PPO:
    model = collected("MlpPolicy", observations, **_using(kind, **more))
    _freeze(*frozen)(model)
    return model


def _check(*args: Any, lock: bool = False, limit: int = PLENTY, **options: Any) -> FeatureCache:
    """Update twins, by SB3's code and from a cache, twice, and compare."""
    stock, ours = twins(*args, **options)
    if lock:
        _lock(stock), _lock(ours)
    with double_precision():
        front = _front(ours)
        assert front is not None
        cache = _fill(ours, front, limit)
        for _ in range(2):
            np.random.seed(1)
            stock.train()
            np.random.seed(1)
            ours._update_learning_rate(ours.policy.optimizer)
            assert cache.valid()
            statistics = autograd.train(
                ours.policy,
                ours.policy.optimizer,
                ours.rollout_buffer.observations,
                rollout_of(ours),
                settings_of(ours),
                cache,
            )
            assert_same(stock, ours, statistics, 1e-10)
    return cache


def test_a_frozen_convolutional_extractor_is_kept_whole() -> None:
    cache = _check("CnnPolicy", IMAGE, prepare=_freeze("features_extractor"))
    assert cache.front.whole and cache.stored
    assert cache.front.description == "features: all layers frozen"
    assert cache.nbytes == ROWS * 512 * 8


@pytest.mark.parametrize(
    ("frozen", "cut", "numbers"),
    [
        (["cnn.0"], 2, 32 * 8 * 8),
        (["cnn.0", "cnn.2"], 4, 64 * 3 * 3),
        (["cnn"], 7, 64),
    ],
)
def test_a_partly_frozen_one_is_cut(frozen: list[str], cut: int, numbers: int) -> None:
    paths = [f"features_extractor.{path}" for path in frozen]
    cache = _check("CnnPolicy", IMAGE, prepare=_freeze(*paths))
    assert not cache.front.whole
    assert cache.front.description == f"features: {cut} of 9 layers frozen"
    assert cache.nbytes == ROWS * numbers * 8


def test_frozen_layers_behind_one_that_trains_are_not_kept() -> None:
    model = collected("CnnPolicy", IMAGE)
    _freeze("features_extractor.cnn.2", "features_extractor.linear")(model)
    assert _front(model) is None


def test_batchnorm_and_dropout_count_while_they_are_held() -> None:
    options = {"prepare": _freeze("features_extractor"), "n_epochs": 2, **_using(Convolutions)}
    assert _check("CnnPolicy", SMALL_IMAGE, lock=True, **options).front.whole
    model = _model(Convolutions, "features_extractor", observations=SMALL_IMAGE)
    # Not held, they would draw masks and move the statistics in each minibatch.
    front = _front(model)
    assert front is not None and front.description == "features: 2 of 7 layers frozen"


def test_trainable_batchnorm_behind_the_cut_learns_the_same_statistics() -> None:
    options = _using(Convolutions)

    def prepare(model: PPO) -> None:
        _freeze("features_extractor.first")(model)
        model.policy.features_extractor.drop.p = 0.0

    cache = _check("CnnPolicy", SMALL_IMAGE, prepare=prepare, **options)
    assert cache.front.description == "features: 2 of 7 layers frozen"


def test_dict_observations_are_all_or_nothing() -> None:
    cache = _check("MultiInputPolicy", DICT, n_epochs=1, prepare=_freeze("features_extractor"))
    assert cache.front.whole
    model = collected("MultiInputPolicy", DICT)
    _freeze("features_extractor.extractors.image.cnn")(model)
    assert _front(model) is None


def test_an_extractor_without_parameters_counts_as_frozen() -> None:
    observations = spaces.Dict({"a": BOX, "b": spaces.Discrete(3)})
    assert _check("MultiInputPolicy", observations).front.whole


@pytest.mark.parametrize("kind", [Residual, Functional])
def test_what_is_no_chain_is_all_or_nothing(kind: type) -> None:
    options = _using(kind)
    frozen = _freeze("features_extractor")
    assert _check("MlpPolicy", BOX, prepare=frozen, **options).front.whole
    assert _front(_model(kind, "features_extractor.first")) is None
    front = _front(_model(Plain, "features_extractor.first"))
    assert front is not None and front.description == "features: 1 of 2 layers frozen"


def test_dropout_counts_however_seldom_it_drops() -> None:
    model = _model(Seldom, "features_extractor")
    front = _front(model)
    assert front is not None and front.description == "features: 1 of 3 layers frozen"
    model.policy.features_extractor.drop.p = 0.0
    front = _front(model)
    assert front is not None and front.whole


def test_no_cut_where_layers_are_in_a_row_only_while_acting() -> None:
    assert _front(_model(Between, "features_extractor.first")) is None


def test_an_extractor_may_refuse_to_be_tried_out() -> None:
    model = _model(Plain, "features_extractor")
    model.policy.features_extractor.__class__ = Picky
    assert _front(model) is None
    leaves = model.policy.features_extractor.children()
    assert not any(leaf._forward_hooks or leaf._forward_pre_hooks for leaf in leaves)


@pytest.mark.parametrize("kind", [Forgetful, Relative, Counting])
def test_what_depends_on_more_than_the_observation_is_not_kept(kind: type) -> None:
    assert _front(_model(kind, "features_extractor")) is None


def test_numbers_that_are_none_or_infinite_are_not_kept() -> None:
    model = _model(Plain, "features_extractor")
    for number in (np.nan, np.inf):
        model.policy.features_extractor.first.bias.fill_(number)
        assert _front(model) is None


@pytest.mark.parametrize(
    ("frozen", "description"),
    [
        (["pi", "vf"], "actor.features: all layers frozen, critic.features: all layers frozen"),
        (["pi"], "actor.features: all layers frozen, critic.features: none frozen"),
        (["vf"], "actor.features: none frozen, critic.features: all layers frozen"),
    ],
)
def test_separate_extractors_are_cut_each_on_its_own(frozen: list[str], description: str) -> None:
    options = _using(Plain, share_features_extractor=False)
    paths = [f"{name}_features_extractor" for name in frozen]
    cache = _check("MlpPolicy", BOX, ACTIONS["box"], prepare=_freeze(*paths), **options)
    assert cache.front.description == description
    assert cache.front.whole == (len(frozen) == 2)
    assert cache.nbytes == len(frozen) * ROWS * 6 * 8


def test_state_dependent_exploration_from_kept_features() -> None:
    options = _using(Plain, squash_output=True)
    frozen = _freeze("features_extractor")
    _check("MlpPolicy", BOX, ACTIONS["box"], prepare=frozen, use_sde=True, **options)


def test_nothing_is_kept_above_the_bound_and_the_update_is_the_same() -> None:
    frozen = _freeze("features_extractor.cnn")
    cache = _check("CnnPolicy", IMAGE, prepare=frozen, limit=1000, n_epochs=1)
    assert not cache.stored and cache.nbytes == 0


def test_rows_of_the_cache_are_the_steps_of_the_environments() -> None:
    model = _model(Plain, "features_extractor.first")
    front = _front(model)
    assert front is not None
    cache = _fill(model, front)
    rows = np.array([0, 5, ROWS - 1, 5])
    (taken,) = cache.take(rows, None)
    observations = model.rollout_buffer.observations.reshape(ROWS, -1)[rows]
    (computed,) = front.compute(torch.from_numpy(observations))
    torch.testing.assert_close(taken, computed)


def test_a_cache_is_valid_when_every_step_is_there() -> None:
    model = _model(Plain, "features_extractor")
    front = _front(model)
    assert front is not None
    cache = FeatureCache(front, 2, N_ENVS, PLENTY)
    assert not cache.valid()
    cache.put(0, front.compute(observed(model, 0)))
    assert not cache.valid()
    cache.put(1, front.compute(observed(model, 1)))
    assert cache.valid()


def _move(extractor: Any) -> None:
    with torch.no_grad():
        extractor.norm.weight.mul_(1.5)


def _load(extractor: Any) -> None:
    extractor.load_state_dict(extractor.state_dict())


def _replace(extractor: Any) -> None:
    extractor.norm.weight = nn.Parameter(extractor.norm.weight.detach(), requires_grad=False)


def _point_elsewhere(extractor: Any) -> None:
    extractor.norm.weight.data = extractor.norm.weight.data.clone()


def _statistics(extractor: Any) -> None:
    extractor.norm.running_mean += 0.1


def _swap(extractor: Any) -> None:
    extractor.norm.running_var = torch.ones_like(extractor.norm.running_var)


def _thaw(extractor: Any) -> None:
    extractor.norm.weight.requires_grad_(True)


CHANGES = [_move, _load, _replace, _point_elsewhere, _statistics, _swap, _thaw]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_frozen_layer_invalidates(change: Any) -> None:
    model = _model(Convolutions, "features_extractor", observations=SMALL_IMAGE)
    _lock(model)
    front = _front(model)
    assert front is not None and front.whole
    cache = _fill(model, front)
    assert cache.valid()
    change(model.policy.features_extractor)
    assert not cache.valid()


def test_releasing_a_locked_layer_invalidates() -> None:
    model = _model(Convolutions, "features_extractor", observations=SMALL_IMAGE)
    locks = _lock(model)
    front = _front(model)
    assert front is not None
    cache = _fill(model, front)
    locks.apply([])
    assert not cache.valid()


def test_layers_behind_the_cut_may_change() -> None:
    model = _model(Plain, "features_extractor.first")
    front = _front(model)
    assert front is not None
    cache = _fill(model, front)
    with torch.no_grad():
        model.policy.features_extractor.second.weight.add_(1.0)
        model.policy.action_net.weight.add_(1.0)
    assert cache.valid()


def test_a_thawed_layer_trains_as_in_sb3_although_the_rollout_was_kept() -> None:
    stock, ours = twins("MlpPolicy", BOX, prepare=_freeze("features_extractor"), **_using(Plain))
    with double_precision():
        front = _front(ours)
        assert front is not None
        cache = _fill(ours, front)
        for model in (stock, ours):
            model.policy.features_extractor.second.requires_grad_(True)
        np.random.seed(1)
        stock.train()
        np.random.seed(1)
        ours._update_learning_rate(ours.policy.optimizer)
        observations = ours.rollout_buffer.observations
        rest = rollout_of(ours), settings_of(ours), cache
        statistics = autograd.train(ours.policy, ours.policy.optimizer, observations, *rest)
        assert_same(stock, ours, statistics, 1e-10)
    moved = ours.policy.optimizer.state.keys()
    assert ours.policy.features_extractor.second.weight in moved
    assert ours.policy.features_extractor.first.weight not in moved


def test_nothing_frozen_is_not_even_run() -> None:
    model = _model(Plain)

    def fail(*args: Any) -> None:
        raise AssertionError("the extractor ran")

    model.policy.features_extractor.forward = fail  # type: ignore[method-assign]
    assert _front(model) is None


def test_no_front_where_there_is_no_work_to_save() -> None:
    assert _front(collected("MlpPolicy", BOX)) is None


@pytest.mark.parametrize("where", ["", "first"])
def test_no_front_where_others_watch_the_extractor(where: str) -> None:
    model = _model(Plain, "features_extractor")
    watched = model.policy.features_extractor.get_submodule(where)
    handle = watched.register_forward_hook(lambda module, args, output: None)
    assert _front(model) is None
    handle.remove()
    assert _front(model) is not None


def test_no_front_for_a_policy_that_computes_features_in_its_own_way() -> None:
    model = new_model(OwnFeatures, BOX, **_using(Plain))
    _freeze("features_extractor")(model)
    assert FrozenFront.of(model.policy, torch.zeros(2, 4)) is None


def test_looking_leaves_no_trace() -> None:
    model = _model(Convolutions, "features_extractor.first", observations=SMALL_IMAGE)
    policy = model.policy
    policy.set_training_mode(True)
    policy.features_extractor.norm.eval()
    before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    modes = [module.training for module in policy.modules()]
    stream, space = torch.get_rng_state(), policy.observation_space.np_random.bit_generator.state
    assert _front(model) is not None
    assert torch.equal(torch.get_rng_state(), stream)
    assert policy.observation_space.np_random.bit_generator.state == space
    assert [module.training for module in policy.modules()] == modes
    for name, tensor in policy.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("actions", list(ACTIONS))
@pytest.mark.parametrize("shared", [True, False])
def test_acting_draws_and_gives_what_the_policy_does(actions: str, shared: bool) -> None:
    options = _using(Plain, share_features_extractor=shared)
    model = collected("MlpPolicy", BOX, ACTIONS[actions], **options)
    _freeze("features_extractor")(model)
    model.policy.set_training_mode(False)
    front = _front(model)
    assert front is not None
    cache = FeatureCache(front, N_STEPS, N_ENVS, PLENTY)
    results = []
    for actor in (PolicyActor(model.policy), FrontActor(model.policy, front, cache)):
        torch.manual_seed(3)
        actor.begin(N_STEPS, N_ENVS)
        acted = [actor.act(model.rollout_buffer.observations[t], t) for t in range(N_STEPS)]
        last = [part.numpy() for part in actor.evaluated(N_STEPS - 1)]
        actor.finish(model.rollout_buffer)
        values = actor.predict_values(model.rollout_buffer.observations[0])
        buffer = model.rollout_buffer
        results.append([*acted, *last, values, buffer.values.copy(), buffer.log_probs.copy()])
        results[-1].append(torch.rand(1).numpy())
    for theirs, ours in zip(*results, strict=True):
        assert theirs.dtype == ours.dtype
        np.testing.assert_array_equal(ours, theirs)
    assert cache.valid()
