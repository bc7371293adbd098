"""The training engine: rollouts and updates of PPO, faster than SB3's and with the same results."""
