"""Skins: drawing them, and (from later on) reading, composing and writing their packages."""
