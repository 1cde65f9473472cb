"""Published digests of data files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from bnnbench.data.files.root import broken


@dataclass(frozen=True)
class Checksum:
    """The digest that a file must have.

    Attributes:
        algorithm: a name known to hashlib, ``md5`` or ``sha256``.
        expected: hexadecimal digest.
        words: digest the text's words joined by single spaces, so that line endings and trailing blanks, which differ
            between copies of a text file, do not matter.
    """

    algorithm: str
    expected: str
    words: bool = False

    def found(self, path: Path) -> str:
        """Return the digest of the file."""
        content = path.read_bytes()
        if self.words:
            content = b" ".join(content.split())
        return hashlib.new(self.algorithm, content, usedforsecurity=False).hexdigest()

    def problem(self, path: Path) -> str | None:
        """Return what is wrong with the file (expected and found), or None."""
        found = self.found(path)
        if found == self.expected:
            return None
        return f"{self.algorithm} {self.expected} expected, {found} found ({path.stat().st_size} bytes)."

    def check(self, path: Path, name: str) -> str:
        """Return a word for `verify` if a file of dataset `name` is right; raise DataError if it is not."""
        if problem := self.problem(path):
            raise broken(name, path, problem)
        return f"{self.algorithm} as expected"
