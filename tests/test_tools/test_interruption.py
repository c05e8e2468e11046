"""A training that is killed or stopped at any moment and resumed equals an uninterrupted one."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

import ts2net_mm  # noqa: F401  (torch may then read MMEngine checkpoints)

ROOT = Path(__file__).parents[2]
TRAIN = [sys.executable, ROOT / 'tools' / 'train.py']
LIMIT = 900  # seconds; starting takes long on a busy machine


def start(command: Sequence, project: Path, work_dir: Path, **settings: str) -> subprocess.Popen:
    """Start a training in its own session, as a terminal or Slurm does."""
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
            # ignored in a background job, which pytest may be
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def variables_of(processes: int) -> list[dict[str, str]]:
    """What torchrun sets for each process; it would have an exit code of its own."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    common = dict(WORLD_SIZE=str(processes), MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    return [common | dict(RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(processes)]


def train(project: Path, work_dir: Path, processes: int, *arguments: str, **settings: str):
    """Start the processes of a run."""
    command = [*TRAIN, project / 'config.py', '--seed', '3', *arguments]
    if processes == 1:
        return [start(command, project, work_dir, **settings)]
    command += ['--launcher', 'pytorch']
    return [
        start(command, project, work_dir, **settings, **variables)
        for variables in variables_of(processes)
    ]


def wait_until(
    reached: Callable[[str], bool],
    processes: Sequence[subprocess.Popen | BaseProcess],
    work_dir: Path,
) -> None:
    """Wait until a function of the output is true."""
    output = work_dir / 'output.txt'
    deadline = time.monotonic() + LIMIT
    while not reached(output.read_text() if output.exists() else ''):
        assert time.monotonic() < deadline, output.read_text()[-3000:]
        first = processes[0]
        running = first.is_alive() if isinstance(first, BaseProcess) else first.poll() is None
        assert running, output.read_text()[-3000:]
        time.sleep(0.005)


def after(seconds: float) -> Callable[[str], bool]:
    end = time.monotonic() + seconds
    return lambda output: time.monotonic() > end


def shows(pattern: str) -> Callable[[str], bool]:
    return lambda output: re.search(pattern, output) is not None


def iteration(work_dir: Path, number: int) -> Callable[[str], bool]:
    return lambda output: last_iteration(work_dir) >= number


MOMENTS = {
    'import': lambda: after(1.5),
    'build': lambda: shows('System environment'),
    'first': lambda: shows('Checkpoints will be saved'),
    'saving': lambda: shows('Saving checkpoint at'),
    'validating': lambda: shows('validating'),
}


def losses(work_dir: Path, rank: int) -> list[tuple[int, str]]:
    path = work_dir / f'losses_{rank}.txt'
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(line.split()[0]), line.split()[1]) for line in lines if len(line.split()) == 2]


def last_iteration(work_dir: Path) -> int:
    recorded = losses(work_dir, 0)
    return recorded[-1][0] if recorded else 0


def assert_same(ours, theirs, where: str = '') -> None:
    """Compare nested values bit by bit."""
    assert type(ours) is type(theirs), where
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), where
        for key in ours:
            assert_same(ours[key], theirs[key], f'{where}/{key}')
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), where
        for index, pair in enumerate(zip(ours, theirs, strict=True)):
            assert_same(*pair, f'{where}/{index}')
    elif isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs), where
    else:
        assert ours == theirs, where


def assert_same_run(straight: Path, resumed: Path, processes: int) -> None:
    """Compare losses, last checkpoint, best score and files."""
    for rank in range(processes):
        expected = dict(losses(straight, rank))
        found = losses(resumed, rank)
        assert set(dict(found)) == set(expected)
        assert [(i, loss) for i, loss in found if loss != expected[i]] == []
    last = f'iter_{last_iteration(straight)}.pth'
    first, second = (torch.load(folder / last) for folder in (straight, resumed))
    for key in ('state_dict', 'optimizer', 'param_schedulers', 'resume_state'):
        assert_same(first[key], second[key], key)
    assert len(first['resume_state']['random_states']) == processes
    scores = [run['message_hub']['runtime_info']['best_score'] for run in (first, second)]
    assert scores[0] == scores[1]
    names = [sorted(path.name for path in folder.glob('*.pth')) for folder in (straight, resumed)]
    assert names[0] == names[1]
    assert not list(resumed.glob('.*.part'))


@pytest.fixture(scope='module')
def straight(long_project, tmp_path_factory) -> dict[int, Path]:
    """The work folders of uninterrupted runs with one and with two processes."""
    folders = {}
    for processes in (1, 2):
        folders[processes] = tmp_path_factory.mktemp(f'straight_{processes}')
        running = train(long_project, folders[processes], processes)
        assert [process.wait(LIMIT) for process in running] == [0] * processes
        assert last_iteration(folders[processes]) == 30 // processes
    return folders


@pytest.mark.slow
@pytest.mark.parametrize('processes', [1, 2])
def test_killed_three_times(start_script, long_project, straight, tmp_path, processes):
    def fork(*arguments: str) -> list[BaseProcess]:
        """Start the processes with the long imports already made."""
        arguments = (str(long_project / 'config.py'), '--work-dir', str(tmp_path), *arguments)
        if processes > 1:
            arguments += ('--launcher', 'pytorch')
        settings = dict(PYTHONPATH=str(long_project), PAUSE='0.02')
        log = tmp_path / 'output.txt'
        return [
            start_script(TRAIN[1], *arguments, log=log, environment=settings | variables)
            for variables in variables_of(processes)
        ]

    draw = random.Random(processes)
    moments = sorted(draw.sample(range(2, 30 // processes - 1), 3))
    for number, moment in enumerate(moments):
        # later the seed comes from the checkpoint, of which the first is saved in iteration 4
        running = fork('--resume') if number else fork('--seed', '3')
        wait_until(iteration(tmp_path, moment if number else max(moment, 5)), running, tmp_path)
        time.sleep(draw.uniform(0, 0.05))
        for process in running:
            process.kill()
        for process in running:
            process.join(LIMIT)
            assert process.exitcode == -signal.SIGKILL
    for process in fork('--resume'):
        process.join(LIMIT)
        assert process.exitcode == 0, (tmp_path / 'output.txt').read_text()[-3000:]
    assert_same_run(straight[processes], tmp_path, processes)


@pytest.mark.slow
@pytest.mark.parametrize('moment', ['import', 'build', 'first', 'validating'])
def test_ctrl_c_is_one_line(long_project, tmp_path, moment):
    process = start([*TRAIN, long_project / 'config.py'], long_project, tmp_path, PAUSE='0.1')
    wait_until(MOMENTS[moment](), [process], tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    code, output = process.wait(LIMIT), (tmp_path / 'output.txt').read_text()
    assert code == (-signal.SIGINT if moment == 'import' else 130), output[-3000:]
    assert 'Traceback' not in output
    assert 'Error' not in output
    if moment != 'import':
        assert output.splitlines()[-1].startswith('interrupted')


def processes_with(variable: str) -> list[str]:
    """Processes with a variable in their environment, whatever their session."""
    found = []
    for entry in Path('/proc').iterdir():
        try:
            environment = (entry / 'environ').read_bytes().split(b'\0')
            command = (entry / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
        except OSError:
            continue
        if variable.encode() in environment and command:
            found.append(f'{entry.name} {command}')
    return found


@pytest.mark.slow
def test_ctrl_c_of_torchrun_leaves_no_process(long_project, tmp_path):
    mark = str(random.randrange(2**60))
    command = ['bash', ROOT / 'tools' / 'dist_train.sh', long_project / 'config.py', '2']
    process = start(command, long_project, tmp_path, TEST_MARK=mark, PAUSE='0.2')
    wait_until(iteration(tmp_path, 5), [process], tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(LIMIT) != 0
    deadline = time.monotonic() + LIMIT
    while left := processes_with(f'TEST_MARK={mark}'):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    last = f'interrupted; the same command with --resume continues from {tmp_path / "iter_4.pth"}'
    assert (tmp_path / 'output.txt').read_text().count(last) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ('processes', 'moments'),
    [(1, ('first', 6, 'saving', 'validating')), (2, (2, 'saving', 'validating'))],
)
def test_resumed_after_sigterm(long_project, straight, tmp_path, processes, moments):
    """Of two processes only process 1 gets the signal in training, both get it in validation."""
    log = tmp_path / 'output.txt'
    whole = ''
    for number, moment in enumerate(moments):
        log.write_text('')
        arguments = ('--resume',) if number else ()
        running = train(long_project, tmp_path, processes, *arguments, PAUSE='0.1')
        reached = iteration(tmp_path, moment) if isinstance(moment, int) else MOMENTS[moment]()
        wait_until(reached, running, tmp_path)
        for process in running if moment == 'validating' else running[-1:]:
            os.killpg(process.pid, signal.SIGTERM)
        codes = [process.wait(LIMIT) for process in running]
        assert codes == [143] * processes, log.read_text()[-3000:]
        assert 'Traceback' not in log.read_text()
        assert 'terminated; ' in log.read_text()
        whole += log.read_text()
    log.write_text('')
    running = train(long_project, tmp_path, processes, '--resume')
    assert [process.wait(LIMIT) for process in running] == [0] * processes
    whole += log.read_text()

    assert_same_run(straight[processes], tmp_path, processes)
    # nothing was done twice, as each checkpoint was that of the last iteration
    assert len(losses(tmp_path, 0)) == 30 // processes
    outputs = (straight[processes] / 'output.txt').read_text(), whole
    validated = [re.findall(r'Epoch\(val\) \[(\d)\]', output) for output in outputs]
    assert validated[0] == validated[1] == ['1', '2', '3']


@pytest.mark.slow
def test_one_run_at_a_time_in_a_work_folder(long_project, tmp_path):
    (first,) = train(long_project, tmp_path, 1, PAUSE='0.5')
    wait_until(iteration(tmp_path, 5), [first], tmp_path)  # the checkpoint of 4 is complete
    (second,) = train(long_project, tmp_path, 1)
    assert second.wait(LIMIT) == 1
    message = rf'^error: {tmp_path} is the work folder of another run \(process {first.pid} on'
    assert re.search(message, (tmp_path / 'output.txt').read_text(), re.MULTILINE)
    os.kill(first.pid, signal.SIGKILL)  # its worker process may outlive it for a moment
    first.wait()
    (again,) = train(long_project, tmp_path, 1)
    assert again.wait(LIMIT) == 0
    output = (tmp_path / 'output.txt').read_text()
    assert re.search(r'warning: .* has checkpoints of an earlier run: .*iter_\d+\.pth', output)


@pytest.mark.slow
def test_loss_that_is_not_finite_ends_with_one_line(project, tmp_path):
    """An infinite rate spoils the first step."""
    options = ('--cfg-options', 'optim_wrapper.optimizer.lr=1e30', 'param_scheduler=None')
    process = start([*TRAIN, project / 'config.py', *options], project, tmp_path)
    assert process.wait(LIMIT) == 1
    output = (tmp_path / 'output.txt').read_text()
    last = output.splitlines()[-1]
    assert last.startswith('error: ')
    assert 'nan at iteration 2 (epoch 1, batch 2); the batch of process 0 has the videos ' in last
    assert '.mp4' in last
    assert last.endswith('has no checkpoint yet')
    assert 'Traceback' not in output
