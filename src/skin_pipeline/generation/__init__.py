"""Prompts x conditioning images x seeds -> pictures, and the page that shows them.

``parameters``, ``plan``, ``weights`` and ``gallery`` load no deep-learning library; ``pipeline`` and
``worker`` do, when they are called.
"""
