"""The workflow, a module for each arrow: facts from adapters, a verdict by a rule, done by an adapter."""
