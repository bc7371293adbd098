"""Frozen image encoders: what they compute, what they keep, and what becomes of their weights."""

from __future__ import annotations

import copy
import hashlib
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import safetensors.torch
import torch
from gymnasium import spaces
from minigrid.wrappers import ImgObsWrapper, RGBImgPartialObsWrapper
from stable_baselines3 import PPO
from torch import nn

import rltransfer as rlt
from rltransfer.agents.backbone import load_backbone
from rltransfer.errors import BadArgument, BadCheckpoint
from rltransfer.policies.frozen_resnet import FrozenResNet, backbones
from rltransfer.policies.resnet import BLOCKS, MEAN, STD, ResNet
from rltransfer.pretrain import fresh

RGB = spaces.Box(0, 255, (3, 40, 40), np.uint8)
SMALL = {"features_dim": 16, "stage": 1, "size": 32, "pool": 2}


class Downsampled(nn.Module):
    """A block of ResNet as torch's own layers make it, with torchvision's names."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        if stride > 1:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (inner + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()


class Reference(nn.Sequential):
    """ResNet-18 of torch's layers, with random weights and statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        for index, width in enumerate((64, 128, 256, 512)):
            first = Downsampled(max(width // 2, 64), width, 2 if index else 1)
            stage = nn.Sequential(first, Downsampled(width, width, 1))
            self.add_module(f"layer{index + 1}", stage)
        self.fc = nn.Linear(512, 10)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
                nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
                nn.init.uniform_(module.weight, 0.5, 1.5)

    def stage(self, x: torch.Tensor, count: int) -> torch.Tensor:
        x = (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        for index in range(count):
            x = self.get_submodule(f"layer{index + 1}")(x)
        return x


@pytest.fixture(scope="module")
def reference() -> Reference:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Reference().eval()


@pytest.fixture(scope="module", params=[".safetensors", ".pth"])
def checkpoint(
    request: pytest.FixtureRequest, reference: Reference, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("weights") / f"resnet18{request.param}"
    if request.param == ".pth":
        torch.save(reference.state_dict(), path)
    else:
        safetensors.torch.save_file(reference.state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def _rooms() -> None:
    """A room of MiniGrid as it looks, 40x40 pixels."""
    gym.register("test/Rgb-v0", room, max_episode_steps=40)


def room() -> gym.Env:
    room = gym.make("MiniGrid-Empty-5x5-v0", agent_view_size=5)
    return ImgObsWrapper(RGBImgPartialObsWrapper(room, tile_size=8))


def model(**changes: Any) -> Any:
    options = {**SMALL, **changes}
    return fresh(
        "test/Rgb-v0",
        policy_kwargs={
            **{"features_extractor_class": FrozenResNet, "net_arch": [16]},
            "features_extractor_kwargs": options,
        },
        **{"n_envs": 2, "n_steps": 32, "batch_size": 32, "n_epochs": 2, "seed": 0},
    )


def image(seed: int = 0, count: int = 1, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, 40, 40, generator=generator)


# ---- what it computes ----


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_stages_are_those_of_torchs_layers(reference: Reference, stage: int) -> None:
    network = ResNet("resnet18", stage)
    network.load(reference.state_dict())
    images = image(count=2)
    with torch.no_grad():
        expected = reference.stage(images, stage)
    assert network.out_channels == expected.shape[1]
    torch.testing.assert_close(network(images), expected)


def test_blocks_are_those_of_the_paper() -> None:
    assert {name: 2 * sum(blocks) + 2 for name, blocks in BLOCKS.items()} == {
        **{"resnet18": 18, "resnet34": 34},
    }


def test_images_are_resized_and_pooled(reference: Reference) -> None:
    encoder = FrozenResNet(RGB, **SMALL)
    encoder.backbone.network.load(reference.state_dict())
    small = nn.functional.interpolate(image(), size=(32, 32), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = nn.functional.adaptive_avg_pool2d(reference.stage(small, 1), 2).flatten(1)
    torch.testing.assert_close(encoder.backbone(image()), expected)


def test_grey_images_and_stacks_of_frames() -> None:
    grey = FrozenResNet(spaces.Box(0, 255, (1, 40, 40), np.uint8), **SMALL)
    colored = FrozenResNet(RGB, **SMALL)
    colored.backbone.load_state_dict(grey.backbone.state_dict())
    one = image(channels=1)
    torch.testing.assert_close(grey.backbone(one), colored.backbone(one.expand(-1, 3, -1, -1)))
    stack = FrozenResNet(spaces.Box(0, 255, (6, 40, 40), np.uint8), **SMALL)
    stack.backbone.load_state_dict(colored.backbone.state_dict())
    first, second = image(1, 2), image(2, 2)
    expected = torch.cat([colored.backbone(first), colored.backbone(second)], dim=1)
    torch.testing.assert_close(stack.backbone(torch.cat([first, second], dim=1)), expected)


# ---- what never changes ----


def test_training_moves_the_projection_and_nothing_in_the_network() -> None:
    trained = model()
    extractor = trained.policy.features_extractor
    before = copy.deepcopy(extractor.state_dict())
    trained.learn(128)
    after = extractor.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if name.startswith("projection.")}
    extractor.train(True)
    assert extractor.training and not any(m.training for m in extractor.backbone.modules())
    assert not list(extractor.backbone.parameters())


def test_no_recipe_thaws_it() -> None:
    trained = model().learn(64)
    card = rlt.Card(name="a", task="test/Rgb-v0", steps=64)
    agent = rlt.Agent.from_model(trained, card=card)
    student = rlt.adapt(agent, "test/Rgb-v0", "gradual", seed=1)
    before = copy.deepcopy(student.policy.features_extractor.backbone.state_dict())
    student.learn(256)
    after = student.policy.features_extractor.backbone.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    lines = rlt.describe(student).splitlines()
    assert any(line.startswith("features.0") and "never (fixed)" in line for line in lines)


def test_stable_baselines_does_not_overwrite_it(checkpoint: Path, reference: Reference) -> None:
    loaded = model(weights=str(checkpoint))
    weights = loaded.policy.state_dict()
    for name in ("conv1.weight", "layer1.1.conv2.weight", "bn1.running_var"):
        expected = reference.state_dict()[name]
        assert torch.equal(weights[f"features_extractor.backbone.network.{name}"], expected)


# ---- what is kept ----


def test_an_image_is_computed_once_in_a_training() -> None:
    trained = model()
    (backbone,) = backbones(trained.policy)
    seen: set[bytes] = set()
    compute = backbone._compute
    backbone._compute = lambda images: seen.add(images.numpy().tobytes()) or compute(images)
    trained.learn(256)
    probes = 3 + 1  # made-up images with which the engine finds out what is frozen, and zeros
    assert backbone._memory.computed == len(seen) <= 30 + probes


def test_frozen_layers_are_computed_while_acting_alone() -> None:
    """Without a memory too: all epochs read what the engine kept of the rollout."""
    trained = model(remember=0)
    (backbone,) = backbones(trained.policy)
    trained.learn(64)
    assert "1 of 4 layers frozen" in trained._engine.frozen
    calls: list[int] = []
    compute = backbone._compute
    backbone._compute = lambda images: calls.append(len(images)) or compute(images)
    trained.learn(64)
    assert set(calls) == {2} and len(calls) <= 32 + 2  # one batch a step, and the last values


def test_what_is_remembered_is_what_would_be_computed() -> None:
    """To the last bit, whatever other images are in the batch: resumed runs are equal ones."""
    encoder = FrozenResNet(RGB, **SMALL)
    batch = image(count=5)
    alone = encoder.backbone(batch[3:4]).clone()
    assert torch.equal(encoder.backbone(batch)[3:4], alone)
    assert torch.equal(copy.deepcopy(encoder).backbone(batch)[3:4], alone)
    whole = FrozenResNet(RGB, **{**SMALL, "remember": 0})
    whole.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(whole.backbone(batch), encoder.backbone(batch))


def test_the_memory_is_bounded_and_forgets_what_is_oldest() -> None:
    encoder = FrozenResNet(RGB, **{**SMALL, "remember": 2})
    memory = encoder.backbone._memory
    first, second, third = image(1), image(2), image(3)
    for one in (first, second, first, third, first):
        encoder(one)
    assert len(memory) == 2 and memory.computed == 3
    encoder(second)
    assert len(memory) == 2 and memory.computed == 4


def test_other_weights_are_not_answered_from_memory(reference: Reference) -> None:
    encoder = FrozenResNet(RGB, **SMALL)
    before = encoder.backbone(image()).clone()
    encoder.backbone.network.load(reference.state_dict())
    assert not torch.allclose(before, encoder.backbone(image()))
    assert encoder.backbone._memory.computed == 2


def test_copies_remember_nothing() -> None:
    encoder = FrozenResNet(RGB, **SMALL)
    encoder(image())
    for twin in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert len(twin.backbone._memory) == 0
        torch.testing.assert_close(twin(image()), encoder(image()))


# ---- agents and files ----


def test_agents_keep_the_weights_and_need_no_file(checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / checkpoint.name
    file.write_bytes(checkpoint.read_bytes())
    trained = model(weights=file).learn(64)
    file.unlink()
    card = rlt.Card(name="a", task="test/Rgb-v0", steps=64)
    agent = rlt.Agent.from_model(trained, card=card)
    agent.save(tmp_path / "a")
    loaded = rlt.load(tmp_path / "a")
    observation = trained.env.reset()
    assert np.array_equal(
        loaded.build().predict(observation, deterministic=True)[0],
        trained.predict(observation, deterministic=True)[0],
    )
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert digest in " ".join(loaded.describe().split())
    trained.save(tmp_path / "zip")
    plain = PPO.load(tmp_path / "zip")
    for name, tensor in trained.policy.state_dict().items():
        assert torch.equal(plain.policy.state_dict()[name], tensor)


def test_a_card_says_that_nobody_trained_it() -> None:
    card = rlt.Card(name="a", task="test/Rgb-v0", steps=0)
    agent = rlt.Agent.from_model(model(), card=card)
    assert "random weights, trained by nobody" in agent.describe()


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, "bn1.weight is missing"),
        ({"conv1.weight": torch.zeros(64, 3, 3, 3)}, r"has shape \(64, 3, 3, 3\)"),
    ],
)
def test_files_of_other_networks_are_refused(
    tensors: dict[str, torch.Tensor], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(BadCheckpoint, match=words):
        model(weights=path)


def test_files_that_would_run_code_are_refused(tmp_path: Path) -> None:
    torch.save({"a": Reference()}, tmp_path / "w.pth")
    with pytest.raises(BadCheckpoint, match="expected a dense tensor"):
        load_backbone(model().policy, tmp_path / "w.pth")
    with pytest.raises(BadCheckpoint):
        load_backbone(model().policy, tmp_path / "missing.pth")
    (tmp_path / "w.bin").write_bytes(b"")
    with pytest.raises(BadArgument, match=r"\.safetensors or \.pth"):
        load_backbone(model().policy, tmp_path / "w.bin")


def test_policies_without_such_an_encoder(checkpoint: Path) -> None:
    plain = fresh("CartPole-v1", n_envs=1)
    with pytest.raises(BadArgument, match="has no frozen image encoder"):
        load_backbone(plain.policy, checkpoint)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "resnet50"}, "resnet18, resnet34"),
        ({"stage": 5}, "from 1 to 4"),
        ({"size": 2}, "at least 4"),
        ({"pool": 0}, "pool is 0"),
        ({"remember": -1}, "remember is -1"),
    ],
)
def test_options_out_of_range(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadArgument, match=words):
        FrozenResNet(RGB, **{**SMALL, **changes})


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1, 1, (4,), np.float32),
        spaces.Box(0, 255, (4, 40, 40), np.uint8),
        spaces.Dict({"image": RGB}),
    ],
)
def test_observations_that_are_no_images(space: gym.Space) -> None:
    with pytest.raises(BadArgument, match="FrozenResNet reads"):
        FrozenResNet(space)


def test_images_that_were_not_normalized() -> None:
    encoder = FrozenResNet(RGB, **SMALL)
    with pytest.raises(BadArgument, match="not from 0 to 1"):
        encoder(255 * image())
