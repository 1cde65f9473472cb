"""What make targets write into the repository: tables of measurements, and the documents that show them.

rows.py       a CSV file of measurements, a dataclass each
markdown.py   a table in Markdown
blocks.py     the part of a document that is written anew
commits.py    how a commit is shown
"""
