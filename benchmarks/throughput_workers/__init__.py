"""Processes that train for `benchmarks/throughput.py`, each with one implementation of PPO."""
