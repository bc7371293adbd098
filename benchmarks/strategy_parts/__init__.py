"""Parts of benchmarks/strategies.py."""
