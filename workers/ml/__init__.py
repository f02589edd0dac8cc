"""Machine learning on plain arrays and bytes; imports nothing of ours outside this package."""
