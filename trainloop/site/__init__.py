"""The web edition: the lessons as pages that are read without a kernel, and the guides beside them.

It takes lessons as written and what their demonstrations showed, and hands Markdown to Sphinx. Keys, hidden checks and
students' work may not enter: whatever stands here is read by everybody.
"""
