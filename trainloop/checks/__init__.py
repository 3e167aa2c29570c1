"""What a check is: observations, rules, the key, the verdict.

Data in, data out. A process that judges needs no torch, runs no student's code and opens no file but a key, so nothing
that runs code, draws or knows nbgrader may enter.
"""
