"""What an alert leaves behind on the disk: clip, snapshot, samples, messages and settings.

Other threads only hand over (``inbox.py``); one thread of its own does the work (``recorder.py``): it
keeps the newest pictures (``ring.py``) and samples (``samples.py``), and writes them into a folder for
each event (``folder.py``), where overlapping events share one clip (``clip.py``, ``strip.py``).
``retention.py`` finishes what a killed process left and deletes what is too old or too much.
"""

from runtime.evidence.recorder import EvidenceRecorder

__all__ = ["EvidenceRecorder"]
