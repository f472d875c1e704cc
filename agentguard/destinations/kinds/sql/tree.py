"""What several readers of a statement ask its tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import exp


def table_type() -> type[exp.Table]:
    from sqlglot import exp

    return exp.Table
