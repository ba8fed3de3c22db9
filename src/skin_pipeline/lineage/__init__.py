"""Where things came from, and what came of them: from pictures and packages back to raw skins, and forth."""
