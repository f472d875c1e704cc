"""What may be done to a ledger, each as one compare-and-append.

Each function looks first and writes when nothing can refuse any more; what it writes says by ``changes`` what it
changes (``fold``). What a caller hands over is checked before anything waits, by a function ``check_...``.
"""
