"""How good generated skins are: one module a metric, no deep-learning library.

Every metric takes pictures or edge maps as arrays, has an answer that is known by hand for simple input, and
does not depend on the order of the pictures or on how they were batched.
"""
