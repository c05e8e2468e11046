import numpy as np
import pytest

from ts2net_mm.rendered.moving_shapes import (
    COLOURS,
    FRAME_SIZE,
    NUM_FRAMES,
    Meaning,
    all_meanings,
    sample_scene,
)

SEQUENCES = sorted({meaning.events for meaning in all_meanings()})
STEPS = {'left': (-1, 0), 'right': (1, 0), 'up': (0, -1), 'down': (0, 1)}
NAMES = {step: event for event, step in STEPS.items()}


def _scene(events, seed=0, colour='red', shape='circle'):
    return sample_scene(Meaning(colour, shape, events), np.random.default_rng(seed))


def _seen_event(centres, radii):
    """Name what a part of a path shows, from nothing but the path."""
    growth = np.log(radii[-1] / radii[0])
    if abs(growth) > 0.3:
        assert np.allclose(centres, centres[0])
        return 'grows' if growth > 0 else 'shrinks'
    return NAMES[tuple(np.sign(np.round(centres[-1] - centres[0], 6)).astype(int).tolist())]


@pytest.mark.parametrize('events', SEQUENCES)
def test_path_shows_the_events_in_order(events):
    scene = _scene(events)
    if len(events) == 1:
        halves = [slice(0, NUM_FRAMES)]
    else:
        halves = [slice(0, NUM_FRAMES // 2), slice(NUM_FRAMES // 2, NUM_FRAMES)]
    seen = tuple(_seen_event(scene.centres[half], scene.radii[half]) for half in halves)
    assert seen == events


@pytest.mark.parametrize('events', SEQUENCES)
def test_object_stays_inside_the_frame(events):
    for seed in range(20):
        scene = _scene(events, seed)
        outermost = scene.draw()
        outermost[:, 1:-1, 1:-1] = scene.background[1:-1, 1:-1, None]
        assert (outermost == scene.background[..., None]).all()


def test_one_event_takes_the_whole_video():
    distances, growths, radii = [], [], []
    for seed in range(200):
        moving, growing = _scene(('right',), seed), _scene(('grows',), seed)
        distances.append((moving.centres[-1, 0] - moving.centres[0, 0]) / FRAME_SIZE)
        growths.append(growing.radii[-1] / growing.radii[0])
        radii += [moving.radii.max(), growing.radii.max()]
    for values, low, high in ((distances, 0.55, 0.62), (growths, 1.9, 2.4), (radii, 12, 15)):
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(values) <= high


@pytest.mark.parametrize('events', [('left', 'grows'), ('up', 'right'), ('grows', 'shrinks')])
def test_a_reversed_path_is_a_path_of_the_reversal(events):
    """Compare the distributions of path features, forwards and of the reversal backwards."""
    reversal = Meaning('red', 'circle', events).reversal.events

    def features(sequence, step):
        scenes = [_scene(sequence, seed) for seed in range(600)]
        rows = [np.c_[s.centres, s.radii][::step][[0, 11, 12, 23]].ravel() for s in scenes]
        return np.array(rows)

    forwards, backwards = features(events, 1), features(reversal, -1)
    # Four standard errors of the difference, and a little for constant columns.
    allowed = 4 * np.sqrt(2 / 600) * forwards.std(axis=0) + 1e-6
    assert (np.abs(forwards.mean(axis=0) - backwards.mean(axis=0)) < allowed).all()
    assert np.allclose(forwards.std(axis=0), backwards.std(axis=0), rtol=0.2)


@pytest.mark.parametrize('shape', ['circle', 'triangle'])
def test_object_is_drawn_where_the_scene_says(shape):
    scene = _scene(('left', 'shrinks'), shape=shape)
    frames = scene.draw()
    assert frames.shape == (NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3)
    assert frames.dtype == np.uint8
    area = np.pi if shape == 'circle' else 3**1.5 / 4
    red = np.array([230, 40, 40])
    for frame, centre, radius in zip(frames, scene.centres, scene.radii, strict=True):
        # How much of the way from grey to red each pixel has gone, by its red minus green.
        coverage = (frame[..., 0].astype(float) - frame[..., 1]) / (red[0] - red[1])
        assert coverage.sum() == pytest.approx(area * radius**2, rel=0.03)
        rows, columns = np.mgrid[:FRAME_SIZE, :FRAME_SIZE]
        place = [(coverage * axis).sum() / coverage.sum() for axis in (columns, rows)]
        assert np.allclose(place, centre, atol=0.1)


def test_only_the_object_changes_between_frames():
    scene = _scene(('right',))
    frames = scene.draw()
    rows, columns = np.mgrid[:FRAME_SIZE, :FRAME_SIZE]
    for frame, (x, y), radius in zip(frames, scene.centres, scene.radii, strict=True):
        outside = np.hypot(columns - x, rows - y) > radius + 2
        assert (frame[outside] == scene.background[outside][:, None]).all()


@pytest.mark.parametrize('shape', ['circle', 'triangle'])
def test_colours_differ_from_each_other_and_from_the_background(shape):
    colours = {}
    for colour in COLOURS:
        scene = _scene(('left',), colour=colour, shape=shape)
        x, y = np.rint(scene.centres[0]).astype(int)
        colours[colour] = scene.draw()[0, y, x].astype(int)
    colours['darkest grey'] = np.full(3, 15)
    colours['lightest grey'] = np.full(3, 70)
    names = list(colours)
    for index, first in enumerate(names[: len(COLOURS)]):
        for second in names[index + 1 :]:
            assert np.linalg.norm(colours[first] - colours[second]) > 100, (first, second)
