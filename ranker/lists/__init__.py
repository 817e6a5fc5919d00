"""From scores to final lists."""
