"""The parts of SQL that can only compute, as sqlglot names them. Whatever is not here is refused.

An allow-list, because every database grows functions that read files, fetch addresses or run other SQL, and a new
release of the parser grows node types that nobody here has looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STATEMENTS = _words("Select Values Union Intersect Except Subquery Insert Update Delete Merge")
WRITERS = _words("Insert Update Delete Merge")

_STRUCTURE = """
    Alias Aliases Between Boolean Bracket ByteString CTE Column ColumnDef Cube DataType DataTypeParam Delete Distinct
    Except Escape Fetch Filter From Group GroupingSets Having HavingMax HexString Identifier IgnoreNulls In
    IndexTableHint Insert Intersect Interval IntervalSpan Is Join JSON JSONExtractQuote JSONKeyValue JSONPath
    JSONPathKey JSONPathRecursive JSONPathRoot JSONPathSlice JSONPathSubscript JSONPathUnion JSONPathWildcard JSONValue
    Kwarg Lambda Lateral Limit LimitOptions Literal Lock Merge National Null Offset OnConflict OnCondition Order
    Ordered Paren Parameter Placeholder Qualify RawString RespectNulls Returning Rollup Schema Select Slice Star
    Subquery Table TableAlias TableSample Tuple Union Update Values Var When Whens Where Window WindowSpec With
    WithTableHint WithinGroup
"""
_OPERATORS = """
    Add Adjacent All And Any AtTimeZone BitwiseAnd BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor
    DPipe Distance Div EQ ExtendsLeft ExtendsRight GT GTE Glob ILike IntDiv LT LTE Like Mod Mul NEQ Neg Not NullSafeEQ
    NullSafeNEQ Or Overlaps SimilarTo Sub Xor
"""
_FUNCTIONS = """
    Abs Acos Acosh AddMonths AnyValue ApproxDistinct ApproxQuantile ApproxQuantiles ArgMax ArgMin Array ArrayAgg
    ArrayAll ArrayAny ArrayAppend ArrayCompact ArrayConcat ArrayConcatAgg ArrayContainedBy ArrayContains
    ArrayContainsAll ArrayDistinct ArrayExcept ArrayFilter ArrayFirst ArrayInsert ArrayIntersect ArrayLast ArrayMax
    ArrayMin ArrayOverlaps ArrayPosition ArrayPrepend ArrayRemove ArrayReverse ArraySize ArraySlice ArraySort ArraySum
    ArrayToString ArraysZip Ascii Asin Asinh Atan Atan2 Atanh Avg BitLength BitwiseAndAgg BitwiseCount BitwiseOrAgg
    BitwiseXorAgg ByteLength Case Cast Cbrt Ceil Chr Coalesce Collate Concat ConcatWs Contains Convert ConvertTimezone
    Corr Cos Cosh Cot Count CountIf CovarPop CovarSamp CumeDist CurrentDate CurrentDatetime CurrentTime
    CurrentTimestamp CurrentTimestampLTZ Date DateAdd DateBin DateDiff DateFromParts DateFromUnixDate DateStrToDate
    DateSub DateToDateStr DateTrunc Datetime DatetimeAdd DatetimeDiff DatetimeSub DatetimeTrunc Day DayOfMonth
    DayOfWeek DayOfWeekIso DayOfYear Dayname DecodeCase Degrees DenseRank Elt EndsWith EqualNull Exists Exp Explode
    ExplodingGenerateSeries Extract Factorial First FirstValue Flatten Floor FromBase64 FromISO8601Date
    FromISO8601Timestamp GenerateDateArray GenerateSeries GenerateTimestampArray Greatest GroupConcat Grouping
    GroupingId Hex Hour If Initcap IsInf IsNan JSONArray JSONArrayAgg JSONArrayContains JSONBContains
    JSONBContainsAllTopKeys JSONBContainsAnyTopKeys JSONBContainsTopKey JSONBExists JSONBExtract JSONBExtractScalar
    JSONBObjectAgg JSONExists JSONExtract JSONExtractArray JSONExtractScalar JSONFormat JSONKeys JSONObject
    JSONObjectAgg JSONType JSONValueArray JustifyDays JustifyHours JustifyInterval Kurtosis Lag Last LastDay LastValue
    Lead Least Left Length Levenshtein Ln Localtime Localtimestamp Log LogicalAnd LogicalOr Lower MD5 MD5Digest
    MakeInterval Map MapContainsKey MapFromEntries MapKeys MapSize MatchAgainst Max Median Min Minute Mode Month
    Monthname MonthsBetween Nanvl Normalize NthValue Ntile Nullif NumberToStr Nvl2 ObjectAgg Overlay Pad ParseJSON
    PercentRank PercentileCont PercentileDisc Pi Posexplode Pow Quantile Quarter Radians Rand Rank RegexpCount
    RegexpExtract RegexpExtractAll RegexpFullMatch RegexpILike RegexpInstr RegexpLike RegexpReplace RegexpSplit
    RegrCount RegrIntercept RegrR2 RegrSlope Repeat Replace Reverse Right Round RowNumber SHA SHA1Digest SHA2
    SHA2Digest SafeDivide Second Sign Sin Sinh Skewness Soundex Space Split SplitPart Sqrt StartsWith Stddev StddevPop
    StddevSamp StrPosition StrToDate StrToTime StrToUnix String StringToArray Struct StructExtract Stuff Substring
    SubstringIndex Sum Tan Tanh Time TimeAdd TimeDiff TimeFromParts TimeStrToDate TimeStrToTime TimeSub TimeToStr
    TimeToUnix TimeTrunc Timestamp TimestampAdd TimestampDiff TimestampFromParts TimestampSub TimestampTrunc ToArray
    ToBase64 ToChar ToDays ToNumber Translate Trim Trunc TryCast TsOrDsAdd TsOrDsDiff TsOrDsToDate TsOrDsToDateStr
    TsOrDsToDatetime TsOrDsToTime TsOrDsToTimestamp Typeof Unhex Unicode UnixDate UnixMicros UnixMillis UnixSeconds
    UnixToStr UnixToTime Unnest Upper UtcDate UtcTime UtcTimestamp Uuid Variance VariancePop Week WeekOfYear
    WidthBucket Year YearOfWeek YearOfWeekIso
"""
NODES = _words(_STRUCTURE + _OPERATORS + _FUNCTIONS)

# Functions that sqlglot has no type for. None of them reads anything but its arguments.
UNTYPED_FUNCTIONS = _words(
    """age array_length array_lower array_upper bit_count btrim cardinality clock_timestamp date_format date_part
    isfinite json_agg json_array_length json_build_array json_build_object json_typeof jsonb_agg jsonb_array_length
    jsonb_build_array jsonb_build_object jsonb_pretty jsonb_typeof julianday lcase make_date make_time make_timestamp
    num_nonnulls num_nulls octet_length percentile printf quote_literal regexp_match regexp_matches row_to_json scale
    statement_timestamp strftime timeofday to_json to_jsonb total transaction_timestamp typeof ucase unixepoch"""
)

# What a node may carry, where the parser also keeps clauses that reach elsewhere (INTO, SETTINGS, FORMAT, stages).
_WITH = "with with_ "
ARGUMENTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "Select": _words(
            _WITH + "expressions distinct limit from from_ joins laterals where group having qualify windows order "
            "offset locks operation_modifiers"
        ),
        "Table": _words("this db catalog alias joins laterals only ordinality hints sample"),
        "Insert": _words(_WITH + "this expression conflict returning default ignore"),
        "Update": _words(_WITH + "this expressions from from_ where returning order limit"),
        "Delete": _words(_WITH + "this using where returning order limit"),
        "Returning": _words("expressions"),
        # `x in name` reads a table in SQLite and ClickHouse; the parser takes the name for a column.
        "In": _words("this expressions query unnest"),
        "Merge": _words(_WITH + "this using on whens returning"),
    }
)
