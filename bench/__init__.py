"""Benchmarks: ``acutance bench CASE``, with a page about each in ``docs/benchmarks.md``."""
