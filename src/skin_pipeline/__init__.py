"""From real keyboard skins to a trained ControlNet, and back to skins."""

__version__ = "0.1.0"
