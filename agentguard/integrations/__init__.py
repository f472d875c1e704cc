"""One module a framework. None imports another."""
