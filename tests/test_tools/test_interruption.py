"""Training that is killed at any moment and resumed ends as if nothing had happened."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import ts2net_mm  # noqa: F401  (torch may then read MMEngine checkpoints)

ROOT = Path(__file__).parents[2]
TRAIN = [sys.executable, str(ROOT / 'tools' / 'train.py')]
LIMIT = 900  # seconds; a busy machine takes long to start


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
            process.join(LIMIT)
            assert process.exitcode == 0, self.log.read_text()[-3000:]

    def kill_after(self, iteration: int, seconds: float) -> None:
        """Kill all processes a moment after an iteration."""
        deadline = time.monotonic() + LIMIT
        while last_iteration(self.work_dir) < iteration:
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            assert self.processes[0].is_alive(), self.log.read_text()[-3000:]
            time.sleep(0.005)
        time.sleep(seconds)
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join(LIMIT)
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
    deadline = time.monotonic() + LIMIT
    while last_iteration(work_dir) < 5:
        assert time.monotonic() < deadline, output.read_text()[-3000:]
        assert process.poll() is None, output.read_text()[-3000:]
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    code = process.wait(LIMIT)
    deadline = time.monotonic() + LIMIT
    while group_members(mark):
        assert time.monotonic() < deadline, group_members(mark)
        time.sleep(0.1)
    return code, output.read_text()


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
    assert 'nan at iteration 2 (epoch 1, batch 2); the batch of process 0 has the videos ' in last
    assert '.mp4' in last
    assert last.endswith('has no checkpoint yet')
    assert 'Traceback' not in result.stderr


def start(command: list, project: Path, work_dir: Path, **settings: str) -> subprocess.Popen:
    """Start a training in a session of its own, as a terminal or Slurm does."""
    environment = dict(
        os.environ,
        PYTHONPATH=os.pathsep.join([str(ROOT), str(project)]),
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']]),
        OMP_NUM_THREADS='1',
        **settings,
    )
    work_dir.mkdir(exist_ok=True)
    with (work_dir / 'output.txt').open('a') as log:
        return subprocess.Popen(
            [*map(str, command), '--work-dir', str(work_dir)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            # a background job, as pytest may be, ignores it
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def signal_when(
    reached: Callable[[str], bool], processes: list[subprocess.Popen], work_dir: Path, number: int
) -> None:
    """Send a signal to whole sessions as soon as the output shows a moment."""
    output = work_dir / 'output.txt'
    deadline = time.monotonic() + LIMIT
    while not reached(output.read_text()):
        assert time.monotonic() < deadline, output.read_text()[-3000:]
        assert processes[0].poll() is None, output.read_text()[-3000:]
        time.sleep(0.01)
    for process in processes:
        os.killpg(process.pid, number)


def after(seconds: float) -> Callable[[str], bool]:
    end = time.monotonic() + seconds
    return lambda output: time.monotonic() > end


def shows(pattern: str) -> Callable[[str], bool]:
    return lambda output: re.search(pattern, output) is not None


MOMENTS = {
    'import': lambda: after(1.5),
    'build': lambda: shows('System environment'),
    'config': lambda: shows('Runtime environment'),
    'first': lambda: shows('Checkpoints will be saved'),
    'saving': lambda: shows('Saving checkpoint at'),
    'validating': lambda: shows('validating'),
}


@pytest.mark.slow
@pytest.mark.parametrize('moment', MOMENTS)
def test_ctrl_c_is_one_line(long_project, tmp_path, moment):
    process = start([*TRAIN, long_project / 'config.py'], long_project, tmp_path, PAUSE='0.1')
    signal_when(MOMENTS[moment](), [process], tmp_path, signal.SIGINT)
    code, output = process.wait(LIMIT), (tmp_path / 'output.txt').read_text()
    assert code == (-signal.SIGINT if moment == 'import' else 130), output[-3000:]
    assert 'Traceback' not in output
    assert 'Error' not in output
    if moment != 'import':
        assert output.splitlines()[-1].startswith('interrupted')


@pytest.fixture(scope='module')
def straight(long_project, tmp_path_factory) -> dict[int, Path]:
    """The work folders of uninterrupted runs, of one and of two processes."""
    folders = {}
    for processes in (1, 2):
        folders[processes] = tmp_path_factory.mktemp(f'straight_{processes}')
        running = train(long_project, folders[processes], processes)
        assert [process.wait(LIMIT) for process in running] == [0] * processes
    return folders


def train(project: Path, work_dir: Path, processes: int, *arguments: str, **settings: str):
    """Start the processes of a run without torchrun, which would have an exit code of its own."""
    command = [*TRAIN, project / 'config.py', '--seed', '3', *arguments]
    if processes == 1:
        return [start(command, project, work_dir, **settings)]
    command += ['--launcher', 'pytorch']
    settings |= dict(WORLD_SIZE=str(processes), MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port())
    ranks = map(str, range(processes))
    return [
        start(command, project, work_dir, RANK=rank, LOCAL_RANK=rank, **settings) for rank in ranks
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ('processes', 'moments'),
    [(1, ('first', 6, 'saving', 'validating')), (2, (2, 'saving', 'validating'))],
)
def test_resumed_after_sigterm_as_if_nothing_had_happened(
    long_project, straight, tmp_path, processes, moments
):
    """Only process 1 of two gets the signal in training, both in the validation."""
    whole = ''
    for number, moment in enumerate(moments):
        (tmp_path / 'output.txt').write_text('')
        arguments = ('--resume',) if number else ()
        running = train(long_project, tmp_path, processes, *arguments, PAUSE='0.1')
        if isinstance(moment, int):
            reached = lambda _, at=moment: last_iteration(tmp_path) >= at  # noqa: E731
        else:
            reached = MOMENTS[moment]()
        told = running if moment == 'validating' else running[-1:]
        signal_when(reached, told, tmp_path, signal.SIGTERM)
        codes = [process.wait(LIMIT) for process in running]
        output = (tmp_path / 'output.txt').read_text()
        assert codes == [143] * processes, output[-3000:]
        assert 'Traceback' not in output
        assert 'terminated; ' in output
        whole += output
    (tmp_path / 'output.txt').write_text('')
    running = train(long_project, tmp_path, processes, '--resume')
    assert [process.wait(LIMIT) for process in running] == [0] * processes

    folders = straight[processes], tmp_path
    for rank in range(processes):
        expected = dict(losses(folders[0], rank))
        repeated = losses(tmp_path, rank)
        assert set(dict(repeated)) == set(expected)
        assert [(i, loss) for i, loss in repeated if loss != expected[i]] == []
        # nothing was done twice, as each checkpoint was that of the last iteration
        assert len(repeated) == len(expected)
    total = last_iteration(tmp_path)
    first, second = (torch.load(folder / f'iter_{total}.pth') for folder in folders)
    for key in ('state_dict', 'optimizer', 'param_schedulers', 'resume_state'):
        assert_same(first[key], second[key], key)
    scores = [one['message_hub']['runtime_info']['best_score'] for one in (first, second)]
    assert scores[0] == scores[1]
    whole += (tmp_path / 'output.txt').read_text()
    outputs = (folders[0] / 'output.txt').read_text(), whole
    validated = [re.findall(r'Epoch\(val\) \[(\d)\]', output) for output in outputs]
    assert validated[0] == validated[1] == ['1', '2', '3']
    names = [sorted(path.name for path in folder.glob('*.pth')) for folder in folders]
    assert names[0] == names[1]


@pytest.mark.slow
def test_one_run_at_a_time_in_a_work_folder(long_project, tmp_path):
    (first,) = train(long_project, tmp_path, 1, PAUSE='0.5')
    deadline = time.monotonic() + LIMIT
    while last_iteration(tmp_path) < 5:  # the checkpoint of iteration 4 is complete
        assert time.monotonic() < deadline
        time.sleep(0.05)
    refused = subprocess.run(
        [*TRAIN, long_project / 'config.py', '--work-dir', tmp_path],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=f'{ROOT}:{long_project}', OMP_NUM_THREADS='1'),
    )
    assert refused.returncode == 1
    assert re.search(
        rf'^error: {tmp_path} is the work folder of another run \(process {first.pid} on',
        refused.stderr.splitlines()[-1],
    )
    os.kill(first.pid, signal.SIGKILL)  # its worker process may outlive it for a moment
    first.wait()
    (again,) = train(long_project, tmp_path, 1)
    assert again.wait(LIMIT) == 0
    output = (tmp_path / 'output.txt').read_text()
    assert re.search(r'warning: .* holds checkpoints of an earlier run: .*iter_\d+\.pth', output)
