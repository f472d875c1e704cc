"""A payments service reads as usual, and loses its power to write when its run turns high-risk."""
