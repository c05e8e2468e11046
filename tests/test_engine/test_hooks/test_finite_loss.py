import pytest
import torch

from ts2net_mm.engine import NotFiniteError

HOOKS = (dict(type='FiniteLossHook'),)


@pytest.mark.parametrize('value', ['nan', 'inf', '-inf'])
def test_run_ends_with_iteration_videos_and_checkpoint(toy, tmp_path, value):
    runner = toy(by_epoch=False, interval=2, hooks=HOOKS)
    model = runner.model
    model.spoil = lambda loss: loss * float(value) ** (len(model.losses) == 6)
    with pytest.raises(NotFiniteError) as caught:
        runner.train()
    message = str(caught.value)
    assert 'loss is ' in message
    assert 'at iteration 7 (epoch 2, batch 2)' in message
    assert f'process 0 has the videos {", ".join(model.batches[6])};' in message
    assert message.endswith(f'the last checkpoint is {tmp_path / "iter_6.pth"}')
    assert not (tmp_path / 'iter_8.pth').exists()


def test_gradients_alone_may_be_lost(toy):
    """A loss of 0 whose gradient is NaN: the weights are spoilt, and must not be saved."""
    runner = toy(hooks=HOOKS)
    runner.model.spoil = lambda loss: torch.sqrt(loss * 0)
    with pytest.raises(
        NotFiniteError, match=r'^grad_norm is nan at iteration 1 .*no checkpoint yet$'
    ):
        runner.train()


def test_a_good_run_is_left_alone(toy):
    assert len(toy(hooks=HOOKS).train().losses) == 10
