"""Sheets: a skin's elements laid out on one square picture, and cut out of it again."""
