"""How good generated skins are: one module a metric, numpy and OpenCV only.

Every metric takes pictures or edge maps as arrays, has an answer that is known by hand for simple input, and
does not depend on the order of the pictures or on how they were batched.
"""
