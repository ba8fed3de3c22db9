"""What each stage of data preparation does to a skin: one module a stage, no Kedro.

Every stage module has a parameters model and a ``make_…`` function that builds its worker: a callable that
takes tasks and returns one output or rejection for each, in the same order.
"""
