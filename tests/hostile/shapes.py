"""Pickles written by hand, each of which hurts some kind of reader."""

from __future__ import annotations

from hostile.shapes_machine import MACHINE
from hostile.shapes_values import VALUES

SHAPES = {**MACHINE, **VALUES}
