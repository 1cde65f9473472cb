"""What the tests share: every helper once. Fixtures stand in the ``conftest.py`` of those that use them."""
