"""Faults that happen, each some hundred times, and what became of the alerts: see ``__main__.py``."""
