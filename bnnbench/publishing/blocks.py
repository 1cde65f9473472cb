"""The part of a document that is written anew, between two marks."""

from __future__ import annotations

from bnnbench.errors import BnnbenchError


def with_block(document: str, name: str, block: str, where: str = "README.md") -> str:
    """Return `document` with `block` between ``<!-- NAME -->`` and ``<!-- end NAME -->``; as it is without these marks.

    Args:
        document: its text.
        name: of the block.
        block: whole lines.
        where: the document's name, for the error.

    Raises:
        BnnbenchError: one mark without the other, twice, or in the wrong order.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    if begin not in document and end not in document:
        return document
    before, _, rest = document.partition(begin)
    _, found, after = rest.partition(end)
    if not found or document.count(begin) > 1 or document.count(end) > 1:
        raise BnnbenchError(f"{where}: the block of {name} should be one '{begin}', then one '{end}'.")
    return f"{before}{begin}\n{block}{end}{after}"
