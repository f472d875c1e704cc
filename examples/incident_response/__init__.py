"""A compromised automation account still authenticates everywhere, and is stopped at each step sideways."""
