"""A class: who is who, what came in from Canvas or Moodle, what goes out, and how the class did.

Marks are read here, never made.
"""
