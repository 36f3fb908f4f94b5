"""What every test shares: where the real data sets lie, and a workspace of its own."""

from pathlib import Path

import pytest

from core.workspace import Workspace, open_workspace

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--faults",
        choices=("some", "full"),
        default="some",
        help="how many processes tests/flow/test_faults.py kills: some (the suite's share), or all that are claimed",
    )


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data sets (../shared/data beside the project) are not on this machine")
    return SHARED_DATA


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "workspace")
