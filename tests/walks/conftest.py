"""What the walks share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.walks.jupyterlab import pictures


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures of a walk go."""
    return pictures(tmp_path_factory.mktemp("pictures"))
