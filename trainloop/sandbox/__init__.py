"""Other people's code, run in a process that can harm nobody, and what comes back from it.

From the levels of isolation down to which cells must run. It knows cells, limits and observations; lessons, students
and marks may not enter.
"""
