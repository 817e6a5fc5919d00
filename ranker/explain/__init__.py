"""Why an item is in a list: what each feature family added to its score, and a sentence."""
