"""Parts of `benchmarks/multitask.py`."""
