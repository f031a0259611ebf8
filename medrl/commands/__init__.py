"""What the commands do beside training: measure, attack, audit and rescore, and how their results look.

`medrl/cli.py` reads the words of a command line; each module here is what one of them does, for use from Python too.
"""
