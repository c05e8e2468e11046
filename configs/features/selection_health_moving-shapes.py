# The quickstart's training from a frame store; the log says whether the selection is alive.
_base_ = './frame_store_moving-shapes.py'

custom_hooks = [*_base_.custom_hooks, dict(type='SelectionHealthHook', interval=20)]
