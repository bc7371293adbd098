"""Agents: trained policies with their spaces, statistics, optimizer state and history."""

from rltransfer.agents.agent import Agent
from rltransfer.agents.card import Card, Score
from rltransfer.agents.normalization import Normalization, RunningStats
from rltransfer.agents.zoo import agents, load

__all__ = ["Agent", "Card", "Normalization", "RunningStats", "Score", "agents", "load"]
