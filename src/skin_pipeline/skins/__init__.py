"""Skins: drawing new ones, reading the packages of others, and rendering their keyboards."""
