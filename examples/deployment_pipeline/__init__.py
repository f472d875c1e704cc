"""A pipeline reads a secret only in the CI context that was approved: repository, branch, environment, workflow file."""
