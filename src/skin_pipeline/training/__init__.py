"""Training a ControlNet: the trainer, which is a program of its own, and what starts it.

``config`` and ``launcher`` load no deep-learning library; the trainer proper is ``loop``, run by
``accelerate launch -m skin_pipeline.training --config FILE``.
"""
