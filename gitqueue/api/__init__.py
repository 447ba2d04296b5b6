"""The Python interface: what `import gitqueue as gq` gives, over the same steps as the commands."""
