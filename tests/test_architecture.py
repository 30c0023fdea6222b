from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("folder", ["alembic", "mlflow"])
def test_a_folder_named_like_a_library_is_no_package(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("library", ["alembic", "mlflow"])
def test_the_library_is_imported_and_not_the_folder(library: str) -> None:
    found = find_spec(library)
    assert found is not None
    assert found.origin is not None
    assert ROOT / library not in Path(found.origin).parents


def test_tests_are_no_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []
