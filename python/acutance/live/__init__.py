"""Streams of pictures with a deadline: the latest comes first, and what cannot be done in time leaves as its base."""
