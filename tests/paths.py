"""Where test data lies; no test logic here."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_shared = ROOT.parent / "shared" / "models"

#: Real networks with known answers, kept beside the checkout, or None.
SHARED_MODELS = _shared if _shared.is_dir() else None

needs_shared_models = pytest.mark.skipif(
    SHARED_MODELS is None, reason="the folder of real networks is not here"
)
