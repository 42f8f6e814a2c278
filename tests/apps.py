"""A page without a browser, under the settings of a test."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.environments import ROOT
from tests.waiting import PATIENCE


@contextmanager
def opened(
    script: str, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[AppTest]:
    """The page of a script; what it caches goes with it."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield AppTest.from_file(str(ROOT / script), default_timeout=PATIENCE)
    st.cache_data.clear()
    st.cache_resource.clear()
