"""A submission, whatever it is -> a mark in nbgrader's gradebook and a page of feedback.

One submission is one job: what goes wrong in it stays in it. Platforms, rosters and reports on a class may not enter.
"""
