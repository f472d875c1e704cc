"""Signed JSON, read strictly: compact JWS, key sets, and bounded reads of them. Identity and signals stand on it."""
