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
    Alias Aliases AnonymousAggFunc AtIndex Between BitString Boolean Bracket ByteString CTE Cluster Column ColumnDef
    Columns CombinedAggFunc CombinedParameterizedAgg Connect ConnectByRoot Cube DataType DataTypeParam
    Delete Distinct Distribute Dot Escape Except Fetch Filter Final ForClause FormatJson From Group GroupingSets
    Having HavingMax HexString HistoricalData Identifier IgnoreNulls In IndexTableHint Insert Intersect Interval
    IntervalSpan Introducer Is JSON JSONCast JSONColumnDef JSONExtractArray JSONExtractQuote JSONKeyValue JSONPath
    JSONPathKey JSONPathRecursive JSONPathRoot JSONPathSlice JSONPathSubscript JSONPathUnion JSONPathWildcard
    JSONSchema JSONTable JSONValue Join Kwarg Lambda Lateral Limit LimitOptions Literal Lock MatchRecognize
    MatchRecognizeMeasure Merge National NetFunc Null Offset OnCondition OnConflict OpenJSON OpenJSONColumnDef Order
    Ordered OverflowTruncateBehavior Parameter ParameterizedAgg Paren Pivot PivotAlias PivotAny Placeholder Prior
    PropertyEQ Qualify QueryOption RawString  RespectNulls Returning Rollup SafeFunc Schema Select
    Slice Sort Star Subquery Table TableAlias TableColumn TableFromRows TableSample Tuple
    UnicodeString Union UnpivotColumns Update Values Var Variadic Version WeekStart When Whens Where Window WindowSpec
    With WithFill WithTableHint WithinGroup XMLKeyValueOption
"""
_OPERATORS = """
    Add Adjacent All And Any AtTimeZone BitwiseAnd BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor
    DPipe Distance DistanceNd Div EQ ExtendsLeft ExtendsRight GT GTE Glob ILike IntDiv JSONBContainsAnyTopKeys LT LTE
    Like Match Mod Mul NEQ Neg Not NullSafeEQ NullSafeNEQ Or Overlaps SimilarTo Sub Xor
"""
_FUNCTIONS = """
    Abs Acos Acosh AddMonths AnyValue ApproxDistinct ApproxPercentileAccumulate ApproxPercentileCombine
    ApproxPercentileEstimate ApproxQuantile ApproxQuantiles ApproxTopK ApproxTopKAccumulate ApproxTopKCombine
    ApproxTopKEstimate ApproxTopSum ApproximateSimilarity ArgMax ArgMin Array ArrayAgg ArrayAll ArrayAny ArrayAppend
    ArrayCompact ArrayConcat ArrayConcatAgg ArrayConstructCompact ArrayContainedBy ArrayContains ArrayContainsAll
    ArrayDistinct ArrayExcept ArrayFilter ArrayFirst ArrayInsert ArrayIntersect ArrayLast ArrayMax ArrayMin
    ArrayOverlaps ArrayPosition ArrayPrepend ArrayRemove ArrayRemoveAt ArrayReverse ArraySize ArraySlice ArraySort
    ArraySum ArrayToString ArrayUnionAgg ArrayUniqueAgg ArraysZip Ascii Asin Asinh Atan Atan2 Atanh Avg
    Base64DecodeBinary Base64DecodeString Base64Encode BitLength BitmapBitPosition BitmapBucketNumber
    BitmapConstructAgg BitmapCount BitmapOrAgg BitwiseAndAgg BitwiseCount BitwiseOrAgg BitwiseXorAgg Booland Boolnot
    Boolor BoolxorAgg ByteLength Case Cast CastToStrType Cbrt Ceil CheckJson CheckXml Chr CityHash64 Coalesce
    CodePointsToBytes CodePointsToString Collate Collation Compress Concat ConcatWs Contains Convert ConvertTimezone
    ConvertToCharset Corr Cos Cosh CosineDistance Cot Coth Count CountIf CovarPop CovarSamp Csc Csch CumeDist
    CurrentAccount CurrentAccountName CurrentAvailableRoles CurrentCatalog CurrentClient CurrentDatabase CurrentDate
    CurrentDatetime CurrentIpAddress CurrentOrganizationName CurrentOrganizationUser CurrentRegion CurrentRole
    CurrentRoleType CurrentSchema CurrentSchemas CurrentSecondaryRoles CurrentSession CurrentStatement CurrentTime
    CurrentTimestamp CurrentTimestampLTZ CurrentTimezone CurrentTransaction CurrentUser CurrentUserId CurrentVersion
    CurrentWarehouse Date DateAdd DateBin DateDiff DateFromParts DateFromUnixDate DateStrToDate DateSub DateToDateStr
    DateToDi DateTrunc Datetime DatetimeAdd DatetimeDiff DatetimeSub DatetimeTrunc Day DayOfMonth DayOfWeek
    DayOfWeekIso DayOfYear Dayname Decode DecodeCase DecompressBinary DecompressString Decrypt DecryptRaw Degrees
    DenseRank DiToDate DotProduct Elt Encode Encrypt EncryptRaw EndsWith EqualNull EuclideanDistance Exists Exp
    Explode ExplodingGenerateSeries Extract Factorial FarmFingerprint First FirstValue Flatten Float64 Floor Format
    FromBase FromBase32 FromBase64 FromISO8601Date FromISO8601Timestamp FromISO8601TimestampNanos FromJson
    GenerateDateArray GenerateSeries GenerateTimestampArray Generator GetExtract GetIgnoreCase Getbit Greatest
    GroupConcat Grouping GroupingId HashAgg Hex HexDecodeString Hll Host Hour If Initcap Inline Int64 IsArray IsAscii
    IsInf IsNan IsNullValue JSONArray JSONArrayAgg JSONArrayAppend JSONArrayContains JSONArrayInsert JSONBContains
    JSONBContainsAllTopKeys JSONBContainsAnyTopKeys JSONBContainsTopKey JSONBDeleteAtPath JSONBExists JSONBExtract
    JSONBExtractScalar JSONBObjectAgg JSONBPathExists JSONBool JSONExists JSONExtract JSONExtractArray
    JSONExtractScalar JSONFormat JSONKeys JSONKeysAtDepth JSONObject JSONObjectAgg JSONRemove JSONSet JSONStripNulls
    JSONType JSONValueArray JarowinklerSimilarity JustifyDays JustifyHours JustifyInterval Kurtosis Lag Last LastDay
    LastValue LaxBool LaxFloat64 LaxInt64 LaxString Lead Least Left Length Levenshtein List Ln Localtime
    Localtimestamp Log LogicalAnd LogicalOr Lower LowerHex MD5 MD5Digest MD5NumberLower64 MD5NumberUpper64
    MakeInterval ManhattanDistance Map MapCat MapContainsKey MapDelete MapFromEntries MapInsert MapKeys MapPick
    MapSize MatchAgainst Max Median Min Minhash MinhashCombine Minute Mode Month Monthname MonthsBetween Nanvl
    Negative NextDay Normal Normalize NthValue Ntile Nullif NumberToStr Nvl2 ObjectAgg ObjectInsert
    ObjectTransform Overlay Pad ParseBignumeric ParseDatetime ParseIp ParseJSON ParseNumeric ParseTime ParseUrl
    PercentRank PercentileCont PercentileDisc Pi Posexplode PosexplodeOuter Pow PreviousDay Quantile Quarter Radians
    Rand Randn Randstr RangeBucket RangeN Rank Reduce RegDomain RegexpCount RegexpExtract RegexpExtractAll
    RegexpFullMatch RegexpILike RegexpInstr RegexpLike RegexpReplace RegexpSplit RegexpSubstr RegrAvgx RegrAvgy
    RegrCount RegrIntercept RegrR2 RegrSlope RegrSxx RegrSxy RegrSyy RegrValx RegrValy Repeat Replace Reverse Right
    Rint Round RowNumber RtrimmedLength SHA SHA1Digest SHA2 SHA2Digest SafeAdd SafeConvertBytesToString SafeDivide
    SafeMultiply SafeNegate SafeSubtract Search SearchIp Sec Sech Second Seq1 Seq2 Seq4 Seq8 SessionUser Shuffle Sign
    Sin Sinh Skewness Soundex SoundexP123 Space Split SplitPart SplitToTable Sqrt StDistance StPoint Stack
    StandardHash StarMap StartsWith Stddev StddevPop StddevSamp StrPosition StrToDate StrToMap StrToTime StrToUnix
    String StringToArray StripNullValue Strtok StrtokSplitToTable StrtokToArray Struct StructExtract Stuff Substring
    SubstringIndex Sum Systimestamp Tan Tanh Time TimeAdd TimeDiff TimeFromParts TimeSlice TimeStrToDate TimeStrToTime
    TimeStrToUnix TimeSub TimeToStr TimeToTimeStr TimeToUnix TimeTrunc Timestamp TimestampAdd TimestampDiff
    TimestampFromParts TimestampLtzFromParts TimestampSub TimestampTrunc TimestampTzFromParts ToArray ToBase32
    ToBase64 ToBinary ToBoolean ToChar ToCodePoints ToDays ToDecfloat ToDouble ToMap ToNumber ToVariant Transform
    Translate Trim Trunc Try TryBase64DecodeBinary TryBase64DecodeString TryCast TryHexDecodeBinary TryHexDecodeString
    TryToDecfloat TsOrDiToDi TsOrDsAdd TsOrDsDiff TsOrDsToDate TsOrDsToDateStr TsOrDsToDatetime TsOrDsToTime
    TsOrDsToTimestamp Typeof Unhex Unicode Uniform UnixDate UnixMicros UnixMillis UnixSeconds UnixToStr UnixToTime
    UnixToTimeStr Unnest Upper UtcDate UtcTime UtcTimestamp Uuid VarMap Variance VariancePop Week WeekOfYear
    WeightString WidthBucket XMLElement XMLGet Year YearOfWeek YearOfWeekIso Zipf _ExplodeOuter
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

# Functions that may stand where a table does, in dialects in which a function of rows may read tables or files that it
# is given the name of (`from histogram('secret', x)`). Elsewhere every listed function may.
ROW_FUNCTIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "bigquery": frozenset(),
        "clickhouse": words("generate_series generateseries numbers numbers_mt zeros"),
        "duckdb": words("generate_series json_each json_tree range repeat_row unnest"),
        "mysql": frozenset(),
        "oracle": frozenset(),
        "snowflake": frozenset(),
        "sqlite": words("generate_series json_each json_tree jsonb_each jsonb_tree"),
        "trino": words("sequence"),
        "tsql": words("generate_series regexp_matches regexp_split_to_table string_split"),
    }
)
# What Snowflake may wrap in `table(…)`. Any other name is a table or a function that is found at run time.
WRAPPED_ROWS = words("Explode Generator SplitToTable StrtokSplitToTable")
# What SQL Server may be told in `option (…)`; a plan or a trace flag may not.
QUERY_OPTIONS = words(
    """auto concat expand fast force hash ignore_nonclustered_columnstore_index include_null_values keep keepfixed loop
    max_grant_percent maxdop maxrecursion merge min_grant_percent no_performance_spool optimize order parameterization
    path raw recompile robust root type without_array_wrapper xmldata xmlschema elements absent xsinil base64"""
)

# What a node may carry, where the parser also keeps clauses that reach elsewhere (INTO, SETTINGS, FORMAT, stages).
_WITH = "with with_ "
ARGUMENTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "Select": words(
            _WITH + "expressions distinct limit from from_ joins laterals where group having qualify windows order "
            "offset locks operation_modifiers kind sample pivots sort distribute cluster connect match options for_"
        ),
        "Table": words("this db catalog alias joins laterals only ordinality hints sample pivots version when indexed"),
        "Insert": words(_WITH + "this expression conflict returning default ignore alternative by_name overwrite"),
        "Update": words(_WITH + "this expressions from from_ where returning order limit"),
        "Delete": words(_WITH + "this tables using where returning order limit"),
        "Returning": words("expressions"),
        # `x in name` reads a table in SQLite and ClickHouse; the parser takes the name for a column.
        "In": words("this expressions query unnest"),
        "Merge": words(_WITH + "this using using_cond on whens returning"),
        "Pivot": words(
            "this alias expressions fields unpivot using group columns include_nulls default_on_null into "
            "identify_pivot_strings prefixed_pivot_columns pivot_column_naming value_columns_first"
        ),
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


# Of these, what a dialect documents as no reserved word: a column may be called so.
_NAMES_IN: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "bigquery": words(
            """alter call delete describe drop dumpfile exec execute explain grant infile insert outfile revoke show
            summarize truncate update"""
        )
    }
)
# Here, a keyword behind a dot or behind `as` is not always a name.
KEYWORDS_EVERYWHERE = frozenset({"clickhouse", "tsql"})


def keywords(dialect: str) -> frozenset[str]:
    """What must not stand, unquoted, where the parser sees a name."""
    return (_KEYWORDS | _KEYWORDS_OF.get(dialect, frozenset())) - _NAMES_IN.get(dialect, frozenset())
