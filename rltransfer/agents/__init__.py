"""Agents: trained policies with their spaces, statistics, optimizer state and history."""

from rltransfer.agents.agent import Agent
from rltransfer.agents.card import Card, Score
from rltransfer.agents.loading import load
from rltransfer.agents.normalization import Normalization, RunningStats
from rltransfer.agents.sb3 import read as read_sb3
from rltransfer.agents.zoo import agents

__all__ = [
    "Agent",
    "Card",
    "Normalization",
    "RunningStats",
    "Score",
    "agents",
    "load",
    "read_sb3",
]
