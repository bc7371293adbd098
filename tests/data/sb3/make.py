"""Make fixtures with the Stable-Baselines3 that is installed, whatever its version.

    python make.py FOLDER CASE...

Each case is trained for 32 steps and written as CASE.zip by that version's own ``save``, and as
CASE.json: what that version itself answers to 16 observations, and its settings. It runs with
Stable-Baselines3 1.0 to 2.9, with gym or gymnasium; make_all.sh beside this file runs it.
"""

import hashlib
import json
import platform
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

try:
    import gymnasium as gym

    # Stable-Baselines3 1.x ignores a gymnasium that happens to be there.
    if stable_baselines3.__version__.startswith("1."):
        raise ImportError
    NEW_API = True
except ImportError:
    import gym

    NEW_API = False

spaces = gym.spaces
N_OBSERVATIONS = 16
VECTOR = spaces.Box(-2.0, 2.0, (5,), np.float32)
# One end of one number is open, and the ends differ: each bound has to be read by itself.
UNEVEN = spaces.Box(
    np.array([-1.0, -np.inf, 0.0], np.float32), np.array([1.0, np.inf, 3.5], np.float32)
)
IMAGE = spaces.Box(0, 255, (36, 36, 1), np.uint8)
MOVE = spaces.Box(-1.0, 1.0, (2,), np.float32)
PRESS = spaces.Discrete(3)
SMALL = {"net_arch": [8]}


class Sampled(gym.Env):
    """Observations at random, and a reward that depends on the action; both APIs."""

    def __init__(self, observation_space, action_space):
        self.observation_space = observation_space
        self.action_space = action_space
        self.random = np.random.RandomState(0)
        self.steps = 0

    def seed(self, seed=None):
        self.random = np.random.RandomState(seed)
        return [seed]

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.seed(seed)
        self.steps = 0
        observation = sample(self.observation_space, self.random)
        return (observation, {}) if NEW_API else observation

    def step(self, action):
        self.steps += 1
        reward = float(np.sum(np.asarray(action, dtype=np.float64)))
        done = self.steps >= 7
        observation = sample(self.observation_space, self.random)
        return (
            (observation, reward, False, done, {}) if NEW_API else (observation, reward, done, {})
        )

    def action_masks(self):
        return masks(self.steps + 1, self.action_space.n)[-1]


def sample(space, random):
    """Draw from a space by a generator whose numbers are the same in every numpy."""
    if isinstance(space, spaces.Dict):
        return OrderedDict((key, sample(part, random)) for key, part in space.spaces.items())
    if isinstance(space, spaces.Discrete):
        return int(random.randint(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return np.array([random.randint(n) for n in space.nvec], dtype=space.dtype)
    if isinstance(space, spaces.MultiBinary):
        return random.randint(2, size=space.shape).astype(space.dtype)
    low = np.where(np.isinf(space.low), -5.0, space.low)
    high = np.where(np.isinf(space.high), 5.0, space.high)
    drawn = low + (high - low) * random.uniform(size=space.shape)
    return drawn.astype(space.dtype)


def masks(n, n_actions):
    """Allow all actions but one, another one each time."""
    allowed = np.ones((n, n_actions), dtype=bool)
    allowed[np.arange(n), np.arange(n) % n_actions] = False
    return allowed


def venv(observation_space=VECTOR, action_space=MOVE):
    return DummyVecEnv([lambda: Sampled(observation_space, action_space)] * 2)


def train(kind, policy, env, **changes):
    settings = {"n_steps": 16, "device": "cpu", "seed": 3, "policy_kwargs": dict(SMALL)}
    if kind.__name__ != "A2C":
        settings["batch_size"] = 16
    if kind.__name__ in ("PPO", "MaskablePPO", "RecurrentPPO"):
        settings["n_epochs"] = 2
    settings.update(changes)
    return kind(policy, env, **settings).learn(32)


def contrib(name):
    import sb3_contrib

    return getattr(sb3_contrib, name)


def zoo_schedule(value):
    """The linear schedule of the RL Zoo, by the installed one."""
    from rl_zoo3.utils import linear_schedule

    return linear_schedule(value)


def own_schedule(value):
    """A closure such as people copy from the documentation of Stable-Baselines3."""

    def func(progress_remaining):
        return progress_remaining * value

    return func


def both():
    parts = {"speed": spaces.Box(-1.0, 1.0, (2,), np.float32), "gear": spaces.Discrete(4)}
    return spaces.Dict(parts)


CASES = {
    "box": lambda: train(
        PPO,
        "MlpPolicy",
        venv(UNEVEN),
        policy_kwargs={"net_arch": [8], "log_std_init": -0.5, "activation_fn": torch.nn.ReLU},
        clip_range_vf=0.3,
        target_kl=0.5,
    ),
    "discrete": lambda: train(
        PPO, "MlpPolicy", venv(VECTOR, PRESS), learning_rate=1e-3, gamma=0.98, ent_coef=0.01
    ),
    "multidiscrete": lambda: train(
        PPO, "MlpPolicy", venv(spaces.Discrete(4), spaces.MultiDiscrete([2, 3]))
    ),
    "multibinary": lambda: train(
        PPO, "MlpPolicy", venv(spaces.MultiDiscrete([3, 2]), spaces.MultiBinary(3))
    ),
    "gsde": lambda: train(PPO, "MlpPolicy", venv(), use_sde=True, sde_sample_freq=4),
    "shared": lambda: train(
        PPO,
        "MlpPolicy",
        venv(),
        policy_kwargs={"net_arch": [8, {"pi": [6], "vf": [7]}], "ortho_init": False},
    ),
    "shared-only": lambda: train(
        PPO, "MlpPolicy", venv(VECTOR, PRESS), policy_kwargs={"net_arch": [8, 6]}
    ),
    "list-of-dict": lambda: train(
        PPO, "MlpPolicy", venv(), policy_kwargs={"net_arch": [{"pi": [8], "vf": [9, 7]}]}
    ),
    "separate": lambda: train(
        PPO, "MlpPolicy", venv(), policy_kwargs={"net_arch": {"pi": [8], "vf": [9, 7]}}
    ),
    "zoo-schedule": lambda: train(
        PPO,
        "MlpPolicy",
        venv(VECTOR, PRESS),
        learning_rate=zoo_schedule(1e-3),
        clip_range=zoo_schedule(0.25),
    ),
    "own-schedule": lambda: train(
        PPO,
        "MlpPolicy",
        venv(VECTOR, PRESS),
        learning_rate=own_schedule(1e-3),
        clip_range=own_schedule(0.25),
    ),
    # SGD keeps nothing for a parameter, and the file is a third of what it is with Adam.
    "image": lambda: train(
        PPO,
        "CnnPolicy",
        venv(IMAGE, PRESS),
        policy_kwargs={
            "net_arch": [],
            "features_extractor_kwargs": {"features_dim": 4},
            "optimizer_class": torch.optim.SGD,
        },
    ),
    "dict": lambda: train(PPO, "MultiInputPolicy", venv(both(), PRESS)),
    "normalized": lambda: train(
        PPO, "MlpPolicy", VecNormalize(venv(), clip_obs=5.0, gamma=0.9), gamma=0.9
    ),
    "a2c": lambda: train(A2C, "MlpPolicy", venv(VECTOR, PRESS), learning_rate=2e-3),
    "maskable": lambda: train(contrib("MaskablePPO"), "MlpPolicy", venv(VECTOR, PRESS)),
    "recurrent": lambda: train(
        contrib("RecurrentPPO"),
        "MlpLstmPolicy",
        venv(VECTOR, PRESS),
        policy_kwargs={"net_arch": [6], "lstm_hidden_size": 4},
    ),
    "recurrent-actor": lambda: train(
        contrib("RecurrentPPO"),
        "MlpLstmPolicy",
        venv(),
        policy_kwargs={"net_arch": [6], "lstm_hidden_size": 4, "enable_critic_lstm": False},
    ),
    "trpo": lambda: train(contrib("TRPO"), "MlpPolicy", venv(), learning_rate=2e-3),
}


def answers(model):
    """What the model says to random observations, normalized ones where it saw such."""
    random = np.random.RandomState(11)
    rows = [sample(model.observation_space, random) for _ in range(N_OBSERVATIONS)]
    if isinstance(model.observation_space, spaces.Dict):
        batch = {key: np.stack([np.asarray(row[key]) for row in rows]) for key in rows[0]}
        tensors = {key: torch.as_tensor(part) for key, part in batch.items()}
    else:
        batch = np.stack([np.asarray(row) for row in rows])
        tensors = torch.as_tensor(batch)
    kind = type(model).__name__
    model.policy.train(False)
    with torch.no_grad():
        if kind == "RecurrentPPO":
            found = sequence(model, batch, tensors)
        elif kind == "MaskablePPO":
            allowed = masks(N_OBSERVATIONS, model.action_space.n)
            actions = model.predict(batch, deterministic=True, action_masks=allowed)[0]
            found = {"masks": allowed.tolist(), "actions": actions}
            parts = model.policy.evaluate_actions(tensors, torch.as_tensor(actions), allowed)
            found["values"], found["log_probs"], _ = parts
        else:
            actions = model.predict(batch, deterministic=True)[0]
            found = {"actions": actions}
            parts = model.policy.evaluate_actions(tensors, torch.as_tensor(actions))
            found["values"], found["log_probs"], _ = parts
    found["observations"] = (
        {key: plain(part) for key, part in batch.items()}
        if isinstance(batch, dict)
        else plain(batch)
    )
    return {key: plain(value) for key, value in found.items()}


def sequence(model, batch, tensors):
    """The observations one after another, as two episodes."""
    from sb3_contrib.common.recurrent.type_aliases import RNNStates

    starts = np.arange(N_OBSERVATIONS) % 9 == 0
    state, actions = None, []
    for row, start in zip(batch, starts, strict=True):
        action, state = model.predict(row[None], state, np.array([start]), deterministic=True)
        actions.append(action[0])
    layers, _, size = model.policy.lstm_hidden_state_shape
    zeros = torch.zeros(layers, 1, size)
    states = RNNStates((zeros, zeros), (zeros, zeros))
    values, log_probs, _ = model.policy.evaluate_actions(
        tensors, torch.as_tensor(np.stack(actions)), states, torch.as_tensor(starts).float()
    )
    return {
        "episode_starts": starts.tolist(),
        "actions": np.stack(actions),
        "state": [plain(part.ravel()) for part in state],
        "values": values,
        "log_probs": log_probs,
    }


def plain(value):
    """Numbers as JSON, a float32 with the fewest digits that give the same float32 again."""
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        # As hexadecimal digits: images are large.
        return value.tobytes().hex()
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        value = np.array([float(str(x)) for x in value.ravel()]).reshape(value.shape)
    if isinstance(value, np.ndarray):
        return value.reshape(-1).tolist() if value.ndim < 2 else value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def describe_space(space):
    kind = type(space).__name__
    if kind == "Dict":
        return {"type": kind, "spaces": [[k, describe_space(v)] for k, v in space.spaces.items()]}
    if kind == "Discrete":
        return {"type": kind, "n": int(space.n)}
    if kind == "MultiDiscrete":
        return {"type": kind, "nvec": space.nvec.tolist()}
    if kind == "MultiBinary":
        return {"type": kind, "n": int(space.n)}
    ends = {}
    for name in ("low", "high"):
        numbers = [str(number) for number in getattr(space, name).ravel().tolist()]
        ends[name] = numbers[0] if len(set(numbers)) == 1 else numbers
    shape = [int(size) for size in space.shape]
    return dict(ends, type=kind, shape=shape, dtype=np.dtype(space.dtype).name)


def hyperparameters(model):
    """Settings by name; a schedule as its values at the begin, the middle and the end."""
    names = (
        *("n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "normalize_advantage"),
        *("ent_coef", "vf_coef", "max_grad_norm", "use_sde", "sde_sample_freq", "target_kl"),
        "n_envs",
    )
    found = {name: getattr(model, name) for name in names if hasattr(model, name)}
    for name in ("lr_schedule", "clip_range", "clip_range_vf"):
        schedule = getattr(model, name, None)
        if schedule is not None:
            schedule = [float(schedule(progress)) for progress in (1.0, 0.5, 0.0)]
        if hasattr(model, name):
            found["learning_rate" if name == "lr_schedule" else name] = schedule
    return found


def digests(model):
    """The first half of the sha256 of the bytes of each tensor of the policy."""
    weights = model.policy.state_dict()
    contents = {name: value.contiguous().numpy().tobytes() for name, value in weights.items()}
    return {name: hashlib.sha256(content).hexdigest()[:32] for name, content in contents.items()}


def moments(model):
    """Of Adam, by parameter: the steps, and a number of each of its two moments."""
    optimizer = model.policy.optimizer
    if not isinstance(optimizer, torch.optim.Adam):
        return None
    found = {}
    for name, parameter in model.policy.named_parameters():
        state = optimizer.state.get(parameter)
        if state:
            first, second = state["exp_avg"], state["exp_avg_sq"]
            found[name] = [float(state["step"]), first.ravel()[0].item(), second.max().item()]
    return found


def statistics(model):
    env = model.get_vec_normalize_env()
    if env is None:
        return None
    names = ("clip_obs", "clip_reward", "gamma", "epsilon")
    stats = {name: float(getattr(env, name)) for name in names}
    for name, rms in (("obs", env.obs_rms), ("return", env.ret_rms)):
        stats[name] = [plain(np.asarray(part)) for part in (rms.mean, rms.var, rms.count)]
    return stats


def versions():
    import cloudpickle

    modules = [stable_baselines3, torch, np, gym, cloudpickle]
    for name in ("sb3_contrib", "rl_zoo3"):
        if name in sys.modules:
            modules.append(sys.modules[name])
    found = {module.__name__: str(module.__version__) for module in modules}
    return dict(found, python=platform.python_version())


def make(case, folder):
    model = CASES[case]()
    model.save(folder / (case + ".zip"))
    document = {
        "case": case,
        "algorithm": type(model).__name__,
        "versions": versions(),
        "num_timesteps": model.num_timesteps,
        "seed": model.seed,
        "observation_space": describe_space(model.observation_space),
        "action_space": describe_space(model.action_space),
        "hyperparameters": hyperparameters(model),
        "statistics": statistics(model),
        "weights": digests(model),
        "moments": moments(model),
    }
    document.update(answers(model))
    if document["statistics"]:
        model.get_vec_normalize_env().save(str(folder / (case + ".vecnormalize.pkl")))
    # Strict JSON, one field a line.
    lines = [f"  {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in document.items()]
    (folder / (case + ".json")).write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for case in sys.argv[2:]:
        make(case, folder)
        print(folder / (case + ".zip"), (folder / (case + ".zip")).stat().st_size)


if __name__ == "__main__":
    main()
