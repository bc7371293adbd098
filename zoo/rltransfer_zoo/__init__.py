"""Agents that are shipped with rltransfer, one pair of files each."""
