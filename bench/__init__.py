"""Benchmarks: ``python -m acutance.bench CASE``."""
