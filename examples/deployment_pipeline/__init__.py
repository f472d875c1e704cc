"""A pipeline reads a secret only in the approved CI context: repository, branch, environment, workflow file."""
