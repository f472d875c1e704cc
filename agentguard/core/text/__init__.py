"""What a text carries: links, addresses, and words of others. Pure."""
