"""The parts of SQL that can only compute, as sqlglot names them. Whatever is not here is refused.

An allow-list, because every database grows functions that read files, fetch addresses or run other SQL, and a new
release of the parser grows node types that nobody here has looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


STATEMENTS = words("Select Values Union Intersect Except Subquery Insert Update Delete Merge")
WRITERS = words("Insert Update Delete Merge")

_STRUCTURE = """
    Alias Aliases AnonymousAggFunc Between Boolean Bracket ByteString CTE Column ColumnDef CombinedAggFunc
    CombinedParameterizedAgg Cube DataType DataTypeParam Delete Distinct Except Escape Fetch Filter From Group
    GroupingSets Having HavingMax HexString Identifier IgnoreNulls In IndexTableHint Insert Intersect Interval
    IntervalSpan Is Join JSON JSONExtractQuote JSONKeyValue JSONPath JSONPathKey JSONPathRecursive JSONPathRoot
    JSONPathSlice JSONPathSubscript JSONPathUnion JSONPathWildcard JSONValue Kwarg Lambda Lateral Limit LimitOptions
    Literal Lock Merge National Null Offset OnConflict OnCondition Order Ordered ParameterizedAgg Paren Parameter
    Placeholder PropertyEQ Qualify RawString RespectNulls Returning Rollup Schema Select Slice Star Subquery Table
    TableAlias TableFromRows TableSample Tuple Union Update Values Var When Whens Where Window WindowSpec With
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
    ArrayMin ArrayOverlaps ArrayPosition ArrayPrepend ArrayRemove ArrayReverse ArraySize ArraySlice ArraySort
    ArraySum ArrayToString ArraysZip Ascii Asin Asinh Atan Atan2 Atanh Avg BitLength BitwiseAndAgg BitwiseCount
    BitwiseOrAgg BitwiseXorAgg ByteLength Case Cast Cbrt Ceil Chr Coalesce Collate Concat ConcatWs Contains Convert
    ConvertTimezone Corr Cos Cosh Cot Count CountIf CovarPop CovarSamp CumeDist CurrentDate CurrentDatetime
    CurrentTime CurrentTimestamp CurrentTimestampLTZ Date DateAdd DateBin DateDiff DateFromParts DateFromUnixDate
    DateStrToDate DateSub DateToDateStr DateTrunc Datetime DatetimeAdd DatetimeDiff DatetimeSub DatetimeTrunc Day
    DayOfMonth DayOfWeek DayOfWeekIso DayOfYear Dayname Decode DecodeCase Degrees DenseRank Elt Encode EndsWith
    EqualNull Exists Exp Explode ExplodingGenerateSeries Extract Factorial FarmFingerprint First FirstValue Flatten
    Floor Format FromBase64 FromISO8601Date FromISO8601Timestamp GenerateDateArray GenerateSeries
    GenerateTimestampArray GetExtract Greatest GroupConcat Grouping GroupingId Hex Hour If Initcap IsInf IsNan
    IsNullValue JSONArray JSONArrayAgg JSONArrayContains JSONBContains JSONBContainsAllTopKeys
    JSONBContainsAnyTopKeys JSONBContainsTopKey JSONBExists JSONBExtract JSONBExtractScalar JSONBObjectAgg
    JSONExists JSONExtract JSONExtractArray JSONExtractScalar JSONFormat JSONKeys JSONObject JSONObjectAgg JSONSet
    JSONType JSONValueArray JustifyDays JustifyHours JustifyInterval Kurtosis Lag Last LastDay LastValue Lead Least
    Left Length Levenshtein Ln Localtime Localtimestamp Log LogicalAnd LogicalOr Lower LowerHex MD5 MD5Digest
    MakeInterval Map MapContainsKey MapFromEntries MapKeys MapSize MatchAgainst Max Median Min Minute Mode Month
    Monthname MonthsBetween Nanvl Normalize NthValue Ntile Nullif NumberToStr Nvl2 ObjectAgg Overlay Pad ParseJSON
    PercentRank PercentileCont PercentileDisc Pi Posexplode Pow Quantile Quarter Radians Rand Rank RegexpCount
    RegexpExtract RegexpExtractAll RegexpFullMatch RegexpILike RegexpInstr RegexpLike RegexpReplace RegexpSplit
    RegrCount RegrIntercept RegrR2 RegrSlope Repeat Replace Reverse Right Round RowNumber SHA SHA1Digest SHA2
    SHA2Digest SafeDivide Second Sign Sin Sinh Skewness Soundex Space Split SplitPart Sqrt StartsWith Stddev
    StddevPop StddevSamp StrPosition StrToDate StrToTime StrToUnix String StringToArray Struct StructExtract Stuff
    Substring SubstringIndex Sum Tan Tanh Time TimeAdd TimeDiff TimeFromParts TimeStrToDate TimeStrToTime TimeSub
    TimeToStr TimeToUnix TimeTrunc Timestamp TimestampAdd TimestampDiff TimestampFromParts TimestampSub
    TimestampTrunc ToArray ToBase64 ToChar ToDays ToNumber Transform Translate Trim Trunc TryCast TsOrDsAdd
    TsOrDsDiff TsOrDsToDate TsOrDsToDateStr TsOrDsToDatetime TsOrDsToTime TsOrDsToTimestamp Typeof Unhex Unicode
    UnixDate UnixMicros UnixMillis UnixSeconds UnixToStr UnixToTime Unnest Upper UtcDate UtcTime UtcTimestamp Uuid
    Variance VariancePop Week WeekOfYear WidthBucket Year YearOfWeek YearOfWeekIso
"""
NODES = words(_STRUCTURE + _OPERATORS + _FUNCTIONS)

# Functions that sqlglot has no type for. None of them reads anything but its arguments.
UNTYPED_FUNCTIONS = words(
    """age array_length array_lower array_replace array_upper bin bit_count bool_and bool_or btrim cardinality
    charindex checksum choose clock_timestamp conditional_change_event conditional_true_event conv crc32 curdate
    curtime date date_format date_part datepart datetime every field find_in_set format_datetime from_unixtime
    getutcdate hash ieee_divide inet_aton inet_ntoa isfinite isnumeric json_agg json_array json_array_elements
    json_array_elements_text json_array_length json_arrayagg json_build_array json_build_object json_contains
    json_contains_path json_depth json_each json_each_text json_insert json_length json_merge_patch
    json_merge_preserve json_object_keys json_overlaps json_patch json_quote json_remove json_replace json_search
    json_strip_nulls json_to_recordset json_typeof json_unquote json_valid jsonb_agg jsonb_array_elements
    jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
    jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array
    jsonb_path_query_first jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_to_recordset jsonb_typeof julianday lcase
    locate make_date make_time make_timestamp makedate maketime now num_nonnulls num_nulls oct octet_length ord
    patindex percentile period_add period_diff pg_size_pretty phraseto_tsquery plainto_tsquery printf quote
    quote_ident quote_literal quote_nullable quotename ratio_to_report regexp_match regexp_matches
    regexp_split_to_array regexp_split_to_table row_to_json scale sec_to_time similarity statement_timestamp strcmp
    strftime string_escape string_split switchoffset sysutcdatetime time time_to_sec timeofday to_json to_jsonb
    to_timestamp_ltz to_timestamp_ntz to_timestamp_tz to_tsquery to_tsvector todate todatetime today todayofmonth
    todayofweek tofloat64 tohour toint32 toint64 tomonth tostring total touint32 touint64 toyear toyyyymm toyyyymmdd
    transaction_timestamp trunc ts_headline ts_rank ts_rank_cd typeof ucase unaccent unix_timestamp unixepoch values
    websearch_to_tsquery yesterday"""
)

# What a node may carry, where the parser also keeps clauses that reach elsewhere (INTO, SETTINGS, FORMAT, stages).
_WITH = "with with_ "
ARGUMENTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "Select": words(
            _WITH + "expressions distinct limit from from_ joins laterals where group having qualify windows order "
            "offset locks operation_modifiers"
        ),
        "Table": words("this db catalog alias joins laterals only ordinality hints sample"),
        "Insert": words(_WITH + "this expression conflict returning default ignore alternative"),
        "Update": words(_WITH + "this expressions from from_ where returning order limit"),
        "Delete": words(_WITH + "this using where returning order limit"),
        "Returning": words("expressions"),
        # `x in name` reads a table in SQLite and ClickHouse; the parser takes the name for a column.
        "In": words("this expressions query unnest"),
        "Merge": words(_WITH + "this using on whens returning"),
    }
)

# Words that no server takes for a name unless they are quoted, though the parser does: what stands there is a clause,
# a table function or (in T-SQL, which needs no semicolon) the next statement.
_KEYWORDS = words(
    """alter call create delete describe drop dumpfile except exec execute explain from grant infile insert intersect
    into join lateral merge outfile pivot revoke select show summarize table truncate union unpivot update where"""
)
_KEYWORDS_OF: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "clickhouse": words("format global in parallel prewhere settings watch"),
        "mysql": words(
            """cross delayed force high_priority ignore inner left load lock low_priority natural outer procedure quick
            release replace right set sql_big_result sql_calc_found_rows sql_small_result straight_join unlock use"""
        ),
        "tsql": words(
            """backup begin break browse bulk checkpoint close commit containstable continue dbcc deallocate declare
            deny disk end errlvl exit fetch for freetexttable get go goto holdlock if kill load move offsets open
            opendatasource openjson openquery openrowset openxml print proc procedure raiserror read readtext receive
            reconfigure restore return revert rollback save send set setuser shutdown throw tsequal use waitfor while
            with writetext updatetext"""
        ),
    }
)


def keywords(dialect: str) -> frozenset[str]:
    """What must not stand, unquoted, where the parser sees a name."""
    return _KEYWORDS | _KEYWORDS_OF.get(dialect, frozenset())
