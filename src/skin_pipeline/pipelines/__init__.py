"""Kedro pipelines: plain functions as nodes, and how datasets run through them."""
