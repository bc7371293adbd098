"""Rollouts and updates of multi-task policies."""
