"""The poster's two-stage search for an architecture, at the scale of one small machine."""
