"""Policies whose parts are shared by several tasks, and the parts themselves."""
