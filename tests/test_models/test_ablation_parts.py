"""CLSOnly, TokenMean and TemporalLSTM."""

import torch

from ts2net_mm.models import TemporalLSTM, TokenMean


def tokens() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    mask = torch.arange(5) < torch.tensor([5, 3])[:, None]
    return torch.randn(2, 5, 4, 8), mask


def test_token_mean_stays_inside_the_frame():
    x, mask = tokens()
    out = TokenMean()(x, mask)
    torch.testing.assert_close(out[1, 2], x[1, 2].sum(dim=0) / 4)


def test_lstm_against_its_equations():
    """Cell by cell (Hochreiter and Schmidhuber), with the input added."""
    x, mask = tokens()
    temporal = TemporalLSTM(embed_dims=8)
    lstm = temporal.lstm
    state = cell = torch.zeros(2, 8)
    expected = []
    for step in x.flatten(1, 2).unbind(1):
        gates = (
            step @ lstm.weight_ih_l0.T
            + lstm.bias_ih_l0
            + state @ lstm.weight_hh_l0.T
            + lstm.bias_hh_l0
        )
        entry, forget, new, out = gates.chunk(4, dim=-1)
        cell = forget.sigmoid() * cell + entry.sigmoid() * new.tanh()
        state = out.sigmoid() * cell.tanh()
        expected.append(step + state)
    expected = torch.stack(expected, dim=1).view_as(x)[:, :, 0]
    torch.testing.assert_close(temporal(x, mask), expected)


def test_padding_has_no_effect_on_valid_frames():
    x, mask = tokens()
    temporal = TemporalLSTM(embed_dims=8)
    other = torch.where(mask[..., None, None], x, 7.0)
    torch.testing.assert_close(temporal(x, mask)[mask], temporal(other, mask)[mask])
