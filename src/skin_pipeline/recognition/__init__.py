"""Text detection and recognition: the engines that read a skin's legends.

``weights`` finds the models, ``reader`` runs them.
"""
