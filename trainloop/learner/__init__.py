"""What a learner's notebook and JupyterLab do: instant answers, hints, moving figures, the working copy.

All of it works offline, in the learner's own process. Nothing that grades, builds or knows a class may enter.
"""
