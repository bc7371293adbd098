"""Parts of the benchmark of similarities; ``benchmarks/similarity.py`` puts them together."""
