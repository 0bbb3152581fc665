"""The live page of one camera: picture, controls, waveforms, alerts, health; metrics and probes.

``server.py`` owns the thread, ``app.py`` the addresses, ``guard.py`` who is let in. ``pictures.py``,
``traces.py``, ``alert_list.py`` and ``metrics.py`` make what is shown out of what the daemon hands over or is
asked for; the browser's part is in ``static/``. Nothing is encoded or computed while nobody looks.
"""

from runtime.page.pictures import Pictures
from runtime.page.server import LivePage

__all__ = ["LivePage", "Pictures"]
