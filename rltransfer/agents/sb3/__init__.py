"""Agents of Stable-Baselines3: read from zips as data, and written as zips."""

from rltransfer.agents.sb3.importing import Imported, read
from rltransfer.agents.sb3.report import Field, Report

__all__ = ["Field", "Imported", "Report", "read"]
