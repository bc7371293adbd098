"""Agents of several tasks: stored, taken apart into agents of one task, extended and joined."""
