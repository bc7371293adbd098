"""One vectorized environment over many tasks, in the packed spaces of a multi-task policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from sb3_contrib.common.maskable.utils import is_masking_supported
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from rltransfer.guard import out_of_bounds
from rltransfer.policies.packing import Packing
from rltransfer.policies.tasks import PolicyTask
from rltransfer.vec.blocks import Block, MakeVec, divided, seed_offset
from rltransfer.vec.workers import WorkerVecEnv


class MultiTaskVecEnv(VecEnv):
    """Environments of several tasks, each row of one task at a time.

    Observations, terminal ones too, and actions are packed (see
    :class:`rltransfer.policies.packing.Packing`). Where an episode ends, ``info["task"]`` names the
    task.

    Args:
        tasks: Tasks of the policy.
        counts: Environments of each task, 0 for a task that is not played. Each task then has a
            block of its own.
        make: From the index of a task, a number of environments and a seed to its environments.
        block: If given, all blocks have so many rows, and :meth:`assign` can move them to other
            tasks; each of ``counts`` has to be a multiple of it.

    Attributes:
        tasks: Tasks of the policy.
        packing: Where the numbers of each task lie.

    Raises:
        BadArgument: The counts do not fit.
    """

    def __init__(
        self,
        tasks: Sequence[PolicyTask],
        counts: Sequence[int],
        make: MakeVec,
        *,
        block: int | None = None,
    ) -> None:
        self.tasks = tuple(tasks)
        self.packing = Packing(self.tasks)
        self._blocks = divided(self.tasks, counts, make, block)
        super().__init__(sum(counts), self.packing.observation_space, self.packing.action_space)
        # One past the last number of tasks whose observations go into a packed row as they are.
        self._flat = [
            1 + size if self.packing.is_flat(index) else 0
            for index, size in enumerate(self.packing.sizes)
        ]
        self._blank = self._new_blank()

    @property
    def task_of_row(self) -> np.ndarray:
        """Index of the task of each row, shape (num_envs,)."""
        found = np.empty(self.num_envs, np.int64)
        for block in self._blocks:
            found[block.rows] = block.task
        return found

    @property
    def blocks(self) -> Sequence[Block]:
        """The blocks, in the order of rows."""
        return self._blocks

    @property
    def out_of_bounds(self) -> int:
        """Observations so far with a value outside the finite bounds of their space."""
        return sum(out_of_bounds(venv) for block in self._blocks for venv in block.made)

    def assign(self, tasks: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Let each block play a task from now on.

        Blocks whose task changes start new episodes; what they had begun is cut.

        Args:
            tasks: Index of the task of each block.

        Returns:
            Rows that changed, shape (k,), and their first observations, shape (k, 1 + P).
        """
        rows, observations = [], []
        for block, task in zip(self._blocks, tasks, strict=True):
            if block.task != task:
                block.task = int(task)
                observations.append(self._reset(block))
                rows.append(np.arange(block.rows.start, block.rows.stop))
        self._blank = self._new_blank()
        if not rows:
            return np.empty(0, np.int64), np.empty((0, self.packing.width), np.float32)
        return np.concatenate(rows), np.concatenate(observations)

    def reset(self) -> np.ndarray:
        """Reset all environments."""
        return np.concatenate([self._reset(block) for block in self._blocks])

    def step(self, actions: np.ndarray) -> VecEnvStepReturn:
        """Step; in this process that is less work than :meth:`step_async` and :meth:`step_wait`."""
        if any(isinstance(block.venv.unwrapped, WorkerVecEnv) for block in self._blocks):
            return super().step(actions)
        unpacked, packed = self.packing.actions, actions
        return self._joined(
            block.venv.step(unpacked(block.task, packed[block.rows])) for block in self._blocks
        )

    def step_async(self, actions: np.ndarray) -> None:
        """Begin a step of all environments with packed actions, shape (num_envs, A)."""
        for block in self._blocks:
            block.venv.step_async(self.packing.actions(block.task, actions[block.rows]))

    def step_wait(self) -> VecEnvStepReturn:
        """End the step."""
        return self._joined(block.venv.step_wait() for block in self._blocks)

    def close(self) -> None:
        """Close all environments."""
        for block in self._blocks:
            for venv in block.made:
                venv.close()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed row ``i`` with ``seed + i`` and an offset of its task's at the next reset."""
        for block in self._blocks:
            block.reseed(None if seed is None else seed + block.rows.start)
        if seed is None:
            return [None] * self.num_envs
        offsets = [seed_offset(task) for task in self.task_of_row.tolist()]
        return [seed + row + offset for row, offset in enumerate(offsets)]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Attribute of each environment."""
        return [venv.get_attr(attr_name, [row])[0] for venv, row in self._places(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of each environment."""
        for venv, row in self._places(indices):
            venv.set_attr(attr_name, value, [row])

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of each environment."""
        return [
            venv.env_method(method_name, *method_args, indices=[row], **kwargs)[0]
            for venv, row in self._places(indices)
        ]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Tell whether environments have a wrapper."""
        return [venv.env_is_wrapped(wrapper_class, [row])[0] for venv, row in self._places(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Frames of all environments."""
        return [frame for block in self._blocks for frame in block.venv.get_images()]

    def _joined(self, results: Iterable[VecEnvStepReturn]) -> VecEnvStepReturn:
        """Put the results of the blocks together."""
        observations = self._blank.copy()
        rewards = np.empty(self.num_envs, np.float32)
        dones = np.empty(self.num_envs, bool)
        infos: list[dict[str, Any]] = []
        for block, (seen, earned, ended, told) in zip(self._blocks, results, strict=True):
            rows, stop = block.rows, self._flat[block.task]
            if stop:
                observations[rows, 1:stop] = seen
            else:
                observations[rows] = self._packed(block, seen)
            rewards[rows], dones[rows] = earned, ended
            if True in ended.tolist():
                self._end_episodes(block, ended, told)
            infos += told
        return observations, rewards, dones, infos

    def _new_blank(self) -> np.ndarray:
        """Packed observations with nothing but the tasks."""
        blank = np.zeros((self.num_envs, self.packing.width), np.float32)
        blank[:, 0] = self.task_of_row
        return blank

    def _reset(self, block: Block) -> np.ndarray:
        observations = self._packed(block, block.venv.reset())
        # Wrappers of environments have their own, which are empty.
        self.reset_infos[block.rows] = block.venv.unwrapped.reset_infos
        return observations

    def _packed(self, block: Block, seen: Any) -> np.ndarray:
        masks = None
        if self.packing.masks[block.task]:
            masks = np.stack(block.venv.env_method("action_masks"))
        return self.packing.observations(block.task, seen, masks)

    def _end_episodes(self, block: Block, dones: np.ndarray, told: list[dict[str, Any]]) -> None:
        flags = self.packing.masks[block.task]
        masks = np.ones((1, flags)) if flags else None
        for row in np.flatnonzero(dones).tolist():
            told[row]["task"] = self.tasks[block.task].id
            last = told[row].get("terminal_observation")
            if last is not None:
                one = _batch_of_one(last)
                packed = self.packing.observations(block.task, one, masks)[0]
                told[row]["terminal_observation"] = packed

    def _places(self, indices: VecEnvIndices) -> list[tuple[VecEnv, int]]:
        places = [
            (block.venv, row)
            for block in self._blocks
            for row in range(block.rows.stop - block.rows.start)
        ]
        return [places[index] for index in self._get_indices(indices)]


def task_of(id: str, venv: VecEnv, **options: Any) -> PolicyTask:
    """Describe a task as a policy sees it, by its environments.

    Args:
        id: The task.
        venv: Environments of it.
        options: The other fields of :class:`PolicyTask`.

    Raises:
        SpaceMismatch: A space is of a kind that policies cannot read or act in.
        BadArgument: An option is outside its range.
    """
    discrete = not isinstance(venv.action_space, spaces.Box)
    return PolicyTask(
        id=id,
        observation_space=venv.observation_space,
        action_space=venv.action_space,
        masked=discrete and is_masking_supported(venv),
        **options,
    )


def _batch_of_one(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: np.asarray(part)[None] for key, part in observation.items()}
    return np.asarray(observation)[None]
