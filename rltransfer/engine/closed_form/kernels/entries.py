"""Places of the means that the losses of a minibatch report.

Numba keeps what it compiled until ``compiled.py`` itself changes, with these numbers in it.
"""

POLICY_LOSS, VALUE_LOSS, ENTROPY_LOSS, KL, CLIP_FRACTION = range(5)
ENTRIES = 5
