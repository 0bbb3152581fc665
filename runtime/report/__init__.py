"""The page that a replay leaves: one HTML file with everything in it, to be mailed, read and printed.

``findings.py`` computes what the page says, ``plots.py`` and ``pictures.py`` draw it, ``embedded_clip.py``
makes a clip that fits, ``page.py`` puts it together.
"""
