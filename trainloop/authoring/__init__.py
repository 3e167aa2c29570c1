"""A lesson as written -> notebooks and keys, and everything that is refused on the way.

Students' submissions may not enter; a room further on that needs a built lesson reads the files.
"""
