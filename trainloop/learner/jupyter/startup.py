"""What each kernel of `trainloop lab` runs first: torch takes seconds to load, so it begins while the learner reads.

Kernels find this file by the variable PYTHONSTARTUP. It runs among the learner's own names, and leaves none. Only torch
is loaded: it imports nothing that imports it, so no cell that is run meanwhile can wait in a circle.
"""

import importlib
import sys
import threading

if "ipykernel" in sys.modules:  # a plain Python in JupyterLab's terminal has no use for it
    threading.Thread(target=importlib.import_module, args=("torch",), daemon=True).start()
del importlib, sys, threading
