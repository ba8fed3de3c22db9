import pytest

from tests.skins.plain import plain_theme


@pytest.fixture(scope="session")
def theme():
    return plain_theme()
