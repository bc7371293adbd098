"""The beginning of programs that run where rltransfer cannot be imported, as at a user's."""

WITHOUT_RLTRANSFER = """
import sys, warnings
warnings.simplefilter("error")

class NoRltransfer:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("rltransfer", "rltransfer_zoo", "rltransfer_envs"):
            raise ImportError("rltransfer is not installed here: " + name)

sys.meta_path.insert(0, NoRltransfer())
folder, *cases = sys.argv[1:]

import gymnasium as gym
import numpy as np
import torch
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

torch.set_num_threads(1)
"""
