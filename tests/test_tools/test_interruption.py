"""Training that is killed at any moment and resumed ends as if nothing had happened."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import ts2net_mm  # noqa: F401  (torch may then read MMEngine checkpoints)

ROOT = Path(__file__).parents[2]


class Training:
    """Processes of tools/train.py."""

    def __init__(self, start_script, project: Path, work_dir: Path, *arguments: str, processes=1):
        work_dir.mkdir(exist_ok=True)
        self.work_dir = work_dir
        self.log = work_dir / 'output.txt'
        arguments = (str(project / 'config.py'), '--work-dir', str(work_dir), *arguments)
        settings = dict(PYTHONPATH=str(project), PAUSE='0.02')
        if processes > 1:
            arguments += ('--launcher', 'pytorch')
            settings |= dict(
                WORLD_SIZE=str(processes), MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port()
            )
        self.processes = [
            start_script(
                ROOT / 'tools' / 'train.py',
                *arguments,
                log=self.log,
                environment=settings | dict(RANK=str(rank), LOCAL_RANK=str(rank)),
            )
            for rank in range(processes)
        ]

    def finish(self) -> None:
        for process in self.processes:
            process.join(120)
            assert process.exitcode == 0, self.log.read_text()[-3000:]

    def kill_after(self, iteration: int, seconds: float) -> None:
        """Kill all processes a moment after an iteration."""
        deadline = time.monotonic() + 120
        while last_iteration(self.work_dir) < iteration:
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            assert self.processes[0].is_alive(), self.log.read_text()[-3000:]
            time.sleep(0.005)
        time.sleep(seconds)
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join(60)
            assert process.exitcode == -signal.SIGKILL


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


def losses(work_dir: Path, rank: int) -> list[tuple[int, str]]:
    path = work_dir / f'losses_{rank}.txt'
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(line.split()[0]), line.split()[1]) for line in lines if len(line.split()) == 2]


def last_iteration(work_dir: Path) -> int:
    recorded = losses(work_dir, 0)
    return recorded[-1][0] if recorded else 0


def assert_same(one, other, where: str = '') -> None:
    """Compare nested values to the bit."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f'{where}/{key}')
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, (first, second) in enumerate(zip(one, other, strict=True)):
            assert_same(first, second, f'{where}/{index}')
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


@pytest.mark.slow
@pytest.mark.parametrize('processes', [1, 2])
def test_killed_three_times(start_script, long_project, tmp_path, processes):
    def train(work_dir, *arguments):
        return Training(start_script, long_project, work_dir, *arguments, processes=processes)

    straight = tmp_path / 'straight'
    train(straight, '--seed', '3').finish()
    total = last_iteration(straight)
    assert total == 30 // processes

    broken = tmp_path / 'broken'
    draw = random.Random(processes)
    moments = sorted(draw.sample(range(2, total - 1), 3))
    for number, moment in enumerate(moments):
        # the seed comes from the checkpoint
        arguments = ('--resume',) if number else ('--seed', '3')
        if not number:
            moment = max(moment, 5)  # after the first checkpoint, which holds the seed
        train(broken, *arguments).kill_after(moment, draw.uniform(0, 0.05))
    train(broken, '--resume').finish()

    for rank in range(processes):
        expected = dict(losses(straight, rank))
        repeated = losses(broken, rank)
        assert set(dict(repeated)) == set(expected)
        assert [(i, loss) for i, loss in repeated if loss != expected[i]] == []
    first, second = (torch.load(folder / f'iter_{total}.pth') for folder in (straight, broken))
    for key in ('state_dict', 'optimizer', 'param_schedulers', 'resume_state'):
        assert_same(first[key], second[key], key)
    assert len(first['resume_state']['random_states']) == processes
    scores = [one['message_hub']['runtime_info']['best_score'] for one in (first, second)]
    assert scores[0] == scores[1]
    names = [sorted(path.name for path in folder.glob('*.pth')) for folder in (straight, broken)]
    assert names[0] == names[1]
    assert not list(broken.glob('.*.part'))


def group_members(leader: int) -> list[str]:
    """The processes of a session, which those of torchrun leave but which keep its environment."""
    found = []
    for entry in Path('/proc').iterdir():
        try:
            environment = (entry / 'environ').read_bytes().split(b'\0')
            command = (entry / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
        except OSError:
            continue
        if f'TEST_MARK={leader}'.encode() in environment and command:
            found.append(f'{entry.name} {command}')
    return found


def interrupt(command: list[str], project: Path, work_dir: Path) -> tuple[int, str]:
    """Press Ctrl-C in the fifth iteration; give exit code and output."""
    work_dir.mkdir()
    mark = random.randrange(2**60)
    environment = dict(
        os.environ,
        TEST_MARK=str(mark),
        PYTHONPATH=os.pathsep.join([str(ROOT), str(project)]),
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']]),
        OMP_NUM_THREADS='1',
        PAUSE='0.2',
    )
    arguments = (str(project / 'config.py'), *command[2:], '--work-dir', str(work_dir))
    with (work_dir / 'output.txt').open('w') as log:
        process = subprocess.Popen(
            [*command[:2], *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            # a background job, as pytest may be, ignores it
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    output = work_dir / 'output.txt'
    deadline = time.monotonic() + 120
    while last_iteration(work_dir) < 5:
        assert time.monotonic() < deadline, output.read_text()[-3000:]
        assert process.poll() is None, output.read_text()[-3000:]
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    code = process.wait(60)
    deadline = time.monotonic() + 10
    while group_members(mark):
        assert time.monotonic() < deadline, group_members(mark)
        time.sleep(0.1)
    return code, output.read_text()


@pytest.mark.slow
def test_ctrl_c_of_one_process(long_project, tmp_path):
    command = [sys.executable, str(ROOT / 'tools' / 'train.py')]
    code, output = interrupt(command, long_project, tmp_path / 'work')
    assert code == 130
    checkpoint = tmp_path / 'work' / 'iter_4.pth'
    last = f'interrupted; the same command with --resume goes on from {checkpoint}'
    assert output.splitlines()[-1] == last
    assert 'Traceback' not in output


@pytest.mark.slow
def test_ctrl_c_of_two_processes(long_project, tmp_path):
    command = ['bash', str(ROOT / 'tools' / 'dist_train.sh'), '2']
    code, output = interrupt(command, long_project, tmp_path / 'work')
    assert code != 0
    checkpoint = tmp_path / 'work' / 'iter_4.pth'
    last = f'interrupted; the same command with --resume goes on from {checkpoint}'
    assert output.count(last) == 1


@pytest.mark.slow
def test_a_lost_loss_ends_with_one_line(project, tmp_path):
    """An infinite rate spoils the first step."""
    config = str(project / 'config.py')
    options = ('--cfg-options', 'optim_wrapper.optimizer.lr=1e30', 'param_scheduler=None')
    command = [sys.executable, str(ROOT / 'tools' / 'train.py'), config, '--work-dir', tmp_path]
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    result = subprocess.run(
        [*command, *options], capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith('error: ')
    assert 'nan at iteration 2 (epoch 1, batch 2); the batch of process 0 holds ' in last
    assert '.mp4' in last
    assert last.endswith('has no checkpoint yet')
    assert 'Traceback' not in result.stderr
