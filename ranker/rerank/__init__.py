"""The second stage: learning to rank the candidates."""
