"""ONNX Runtime tells its maker nothing from here, and keeps no name of this device on its disk.

Since 1.29 its wheels for Linux send Microsoft which models are loaded, how they are run and on what, under an
identifier that they write below the user's cache. The library reads the variable once, as it is loaded: each
package here that uses it imports this first, in its ``__init__.py``.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
