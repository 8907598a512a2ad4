"""Children that are kept running, and that are gone when they should be. All are real processes."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from niyama_cli.role_process import RoleProcess
from niyama_cli.supervisor import Keeper, KeeperState, Supervisor, describe_exit
from niyama_runtime.backoff import Backoff

from tests.cli.processes import is_alive, wait_until_gone

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
POLITE = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"


class Notes:
    """Collects what is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., RoleProcess]:
    def build(script: str, *, name: str = "child", grace: float = 5.0) -> RoleProcess:
        return RoleProcess(["/bin/sh", "-c", script], tmp_path / f"{name}.log", grace=grace)

    return build


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110, what other processes do sets no event
            await asyncio.sleep(0.01)


async def running(keeper: Keeper) -> int:
    """Return the process's id as soon as its script runs."""
    await until(lambda: "ready" in keeper.last_words())
    assert keeper.pid
    return keeper.pid


async def keeper_of(child: RoleProcess, notes: Notes, *, name: str = "child") -> Keeper:
    keeper = Keeper(name, child, tell=notes, last_words=child.last_words, backoff=Backoff(0.02, 0.1))
    await keeper.start()
    return keeper


async def test_a_killed_child_comes_back_and_it_is_said(process: Callable[..., RoleProcess], notes: Notes) -> None:
    keeper = await keeper_of(process(POLITE), notes)
    first = await running(keeper)
    keeper.keep()
    os.kill(first, signal.SIGKILL)
    await until(lambda: keeper.num_restarts == 1 and keeper.state is KeeperState.RUNNING)
    assert keeper.pid
    assert keeper.pid != first
    assert notes.lines[0].startswith("child was killed by SIGKILL; it is started again in 0.0")
    assert notes.lines[1] == f"child was started again as process {keeper.pid} (restart 1)"
    await keeper.stop()
    assert keeper.pid is None


async def test_a_child_that_keeps_dying_is_tried_ever_less_often(
    process: Callable[..., RoleProcess], notes: Notes
) -> None:
    keeper = await keeper_of(process("echo cannot go on; exit 3"), notes)
    keeper.keep()
    await until(lambda: keeper.num_restarts == 3)
    await keeper.stop()
    assert "child ended with exit status 3: cannot go on; it is started again" in notes.lines[0]


async def test_a_program_that_went_away_is_tried_until_it_is_back(tmp_path: Path, notes: Notes) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    log_folder = tmp_path / "logs"
    log_folder.mkdir()
    keeper = await keeper_of(RoleProcess([str(program)], log_folder / "child.log", grace=1), notes)
    keeper.keep()
    (log_folder / "child.log").unlink()
    log_folder.rmdir()
    assert keeper.pid
    os.kill(keeper.pid, signal.SIGKILL)
    await until(lambda: any("could not be started" in line for line in notes.lines))
    log_folder.mkdir()
    await until(lambda: keeper.num_restarts == 1)
    await keeper.stop()


async def test_a_child_is_asked_before_it_is_made_to_end(process: Callable[..., RoleProcess], notes: Notes) -> None:
    child = process(POLITE)
    keeper = await keeper_of(child, notes)
    pid = await running(keeper)
    await keeper.stop()
    assert not is_alive(pid)
    assert child.last_words() == ("ready", "bye")


async def test_a_child_that_does_not_listen_is_killed_after_its_grace(
    process: Callable[..., RoleProcess], notes: Notes
) -> None:
    keeper = await keeper_of(process(STUBBORN, grace=0.2), notes)
    pid = await running(keeper)
    async with asyncio.timeout(5):
        await keeper.stop()
    assert not is_alive(pid)


async def test_tiers_end_one_after_the_other(process: Callable[..., RoleProcess], notes: Notes, tmp_path: Path) -> None:
    order = tmp_path / "order"
    script = "trap 'sleep 0.1; echo {0} >> {1}; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    keepers = [
        await keeper_of(process(script.format(name, order), name=name), notes, name=name)
        for name in ("router", "replica", "redis")
    ]
    for keeper in keepers:
        await running(keeper)
    supervisor = Supervisor([[keeper] for keeper in keepers])
    supervisor.keep()
    await supervisor.stop()
    assert order.read_text().split() == ["router", "replica", "redis"]
    assert not notes.lines


async def test_who_cannot_wait_has_all_tiers_gone_at_once(process: Callable[..., RoleProcess], notes: Notes) -> None:
    keepers = [
        await keeper_of(process(STUBBORN, name=name, grace=60), notes, name=name) for name in ("router", "replica")
    ]
    pids = [await running(keeper) for keeper in keepers]
    supervisor = Supervisor([[keeper] for keeper in keepers])
    supervisor.keep()
    stopping = asyncio.create_task(supervisor.stop())
    await asyncio.sleep(0.1)
    assert all(map(is_alive, pids))
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert not any(map(is_alive, pids))


_PARENT = """
import asyncio, sys
from pathlib import Path
from niyama_cli.role_process import RoleProcess

async def main():
    child = RoleProcess(["/bin/sh", "-c", sys.argv[2]], Path(sys.argv[1]), grace=1)
    await child.start()
    print(child.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_even_stubborn_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PARENT, str(tmp_path / "log"), STUBBORN, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    wait_until_gone([pid])


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "ended with exit status 0"),
        (2, "ended with exit status 2"),
        (-9, "was killed by SIGKILL"),
        (-250, "was killed by signal 250"),
    ],
)
def test_an_end_is_told_in_words(status: int, words: str) -> None:
    assert describe_exit(status) == words
