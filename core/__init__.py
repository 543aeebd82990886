"""What every part shares: names, errors, settings, files. Imports nothing else of ours, and nothing heavy."""
