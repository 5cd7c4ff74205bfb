"""Backpropagation through time in three ways, one call each: full, truncated and checkpointed."""

from rnncore.bptt.loop import Network, Result, Window, checkpointed, full, truncated

__all__ = ["Network", "Result", "Window", "checkpointed", "full", "truncated"]
