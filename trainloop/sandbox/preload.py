"""Loads what lessons import, before the first job, so that no child has to. `worker` imports this before all else.

While it loads, the collector of garbage rests: it would look again and again at a million objects, none of which is
garbage. That is about a tenth of the time.
"""

from __future__ import annotations

import gc
from importlib import import_module

NAMES = (
    "torch",
    "torch._dynamo",  # torch.optim imports it at first use, which takes a second
    "torch.optim",
    "matplotlib.pyplot",
    "sklearn.datasets",
    "ipywidgets",  # lessons import this one and those below through trainloop.learner
    "PIL.Image",
    "trainloop.checks.verdict",
    "trainloop.checks.words",
    "trainloop.sandbox.shell",  # with it IPython
)

_collects = gc.isenabled()
gc.disable()
for _name in NAMES:
    import_module(_name)
if _collects:
    gc.enable()
