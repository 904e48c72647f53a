"""Tests of this folder look at accounts with a long past."""

import pytest

pytestmark = pytest.mark.slow
