"""How held-out episodes are played; :mod:`rltransfer.evaluate` is the way in."""
