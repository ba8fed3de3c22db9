"""One page and the plots that say what became of a run."""
