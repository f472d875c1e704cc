"""Where a value stands: ``result.rows[0].id``, ``result[*].id_``, ``kept.events[?id_ == args.event_id].title``.

The one path language of policy files. A path is a root and steps:

| step | leads to |
| --- | --- |
| ``.name``, ``["odd name"]`` | the member of an object |
| ``[0]``, ``[-1]`` | the element of a list, from the front or from the end |
| ``[*]`` | each element of a list; the value is the list of what they lead to |
| ``.*`` | each value of an object; the value is an object of what they lead to, under the same names |
| ``[args.name]`` | the member or the element that another value names (``inputs``, ``kept`` too) |
| ``[?field == VALUE]`` | the one element that says so; several tests are joined by ``&&`` |

The rules of ``value_at``:

1. Something on the way that is missing, or of another shape than the path says, makes the whole value missing. So does
   one element of ``[*]`` in which the rest of the path is missing: a list that leaves some out would mislead.
2. ``[?…]`` with no element that says so, or with two different ones, is missing.
3. Values are compared exactly, in value and type: ``5`` is ``5.0``, and neither is ``"5"`` or ``true``.

Pure. Every walk is linear in what it walks over.
"""

from agentguard.core.paths.follow import (
    Missing,
    Opened,
    leaves_at,
    may_meet,
    place_in_words,
    scalar_key,
    value_at,
    values_standing_at,
)
from agentguard.core.paths.parse import parse, parse_place
from agentguard.core.paths.steps import EVERY, VALUES, Every, Literal, Named, Path, Place, Step, Values, Where, referred

__all__ = [
    "EVERY",
    "VALUES",
    "Every",
    "Literal",
    "Missing",
    "Named",
    "Opened",
    "Path",
    "Place",
    "Step",
    "Values",
    "Where",
    "leaves_at",
    "may_meet",
    "parse",
    "parse_place",
    "place_in_words",
    "referred",
    "scalar_key",
    "value_at",
    "values_standing_at",
]
