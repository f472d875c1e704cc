"""Everyday functions that only compute, by dialect, from the vendors' own lists. Whatever is not here is refused.

Left out on purpose is what reads a file, an address, a setting or another table, runs text as SQL, waits, takes a
lock, moves a sequence on, or calls a model: ``pg_read_file``, ``query_to_xml``, ``current_setting``, ``pg_sleep``,
``nextval``, ``ts_rewrite``, ``dblink``, ``read_csv``, ``getenv``, ``load_extension``, ``load_file``, ``get_lock``,
``benchmark``, ``external_query``, ``system$…``, ``get_ddl``, ``ai_query``, ``dictGet``, ``utl_http``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from agentguard.destinations.kinds.sql.allowed_nodes import words

_BIGQUERY = words(
    """aead.decrypt_bytes aead.decrypt_string aead.encrypt approx_top_count approx_top_sum array_first array_includes
    array_includes_all array_includes_any array_is_distinct array_last array_max array_min array_slice array_sum
    array_transform array_zip bit_and bit_cast_to_int32 bit_cast_to_int64 bit_cast_to_uint32 bit_cast_to_uint64
    bit_or bit_xor bool bool_array code_points_to_bytes code_points_to_string cosine_distance cot csc date_bucket
    datetime_bucket deterministic_decrypt_bytes deterministic_decrypt_string deterministic_encrypt double
    double_array edit_distance error euclidean_distance float float64 float64_array float_array format_date
    format_time format_timestamp from_base32 from_base64 from_hex generate_range_array generate_uuid
    hll_count.extract hll_count.init hll_count.merge hll_count.merge_partial iferror int64_array iserror
    json_array_append json_array_insert json_flatten keys.keyset_length keys.keyset_to_json last_day lax_bool
    lax_float64 lax_int64 lax_string net.format_ip net.format_packed_ip net.host net.ip_from_string net.ip_in_net
    net.ip_net_mask net.ip_to_string net.ip_trunc net.ipv4_from_int64 net.ipv4_to_int64 net.make_net net.parse_ip
    net.parse_packed_ip net.public_suffix net.reg_domain net.safe_ip_from_string normalize_and_casefold nulliferror
    nullifzero parse_bignumeric parse_datetime parse_numeric parse_time pi_bignumeric pi_numeric range range_bucket
    range_contains range_end range_intersect range_overlaps range_sessionize range_start regexp_extract_groups
    s2_cellidfrompoint s2_coveringcellids safe_to_json sec session_user split_substr st_angle st_area st_asbinary
    st_asgeojson st_askml st_astext st_azimuth st_boundary st_boundingbox st_buffer st_bufferwithtolerance
    st_centroid st_centroid_agg st_closestpoint st_clusterdbscan st_contains st_convexhull st_coveredby st_covers
    st_difference st_dimension st_disjoint st_distance st_dump st_dumppoints st_dwithin st_endpoint st_equals
    st_extent st_exteriorring st_geogfrom st_geogfromgeojson st_geogfromkml st_geogfromtext st_geogfromwkb
    st_geogpoint st_geogpointfromgeohash st_geohash st_geometrytype st_hausdorffdistance st_hausdorffdwithin
    st_interiorrings st_intersection st_intersects st_intersectsbox st_isclosed st_iscollection st_isempty st_isring
    st_length st_lineinterpolatepoint st_linelocatepoint st_linesubstring st_makeline st_makepolygon
    st_makepolygonoriented st_maxdistance st_npoints st_numgeometries st_numpoints st_perimeter st_pointn st_simplify
    st_snaptogrid st_startpoint st_touches st_union st_union_agg st_within st_x st_y string_array timestamp_bucket
    to_base32 to_code_points to_json_string unicode zeroifnull"""
)
_POSTGRES = words(
    """abbrev acosd akeys area array_cat array_dims array_fill array_ndims array_positions array_sample array_shuffle
    array_sort array_to_json array_to_tsvector asind atan2d atand avals bit bit_and bit_or bit_xor bound_box box
    broadcast casefold center char cidr circle convert_from convert_to cosd cosine_distance cotd crc32c
    current_catalog current_database current_role current_schema current_schemas current_user date_add date_subtract
    datemultirange daterange diagonal diameter difference digest dmetaphone encode enum_first enum_last enum_range
    erf erfc family float4 float8 format_type gamma gcd gen_random_bytes gen_random_uuid generate_subscripts get_bit
    get_byte hashtext hashtextextended height hmac host hostmask hstore hstore_to_json inet_merge inet_same_family
    inner_product int2 int4 int4multirange int4range int8 int8multirange int8range interval isclosed isempty
    ishorizontal isopen isparallel isperp isvertical json_array_element json_extract_path json_extract_path_text
    json_object json_object_agg json_object_agg_strict json_object_agg_unique json_populate_record
    json_populate_recordset json_scalar json_serialize json_to_record json_to_tsvector jsonb jsonb_array_element
    jsonb_concat jsonb_delete jsonb_delete_path jsonb_exists_all jsonb_exists_any jsonb_extract_path
    jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_agg_strict
    jsonb_object_agg_unique jsonb_path_exists_tz jsonb_path_match_tz jsonb_path_query_array_tz
    jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record jsonb_populate_recordset jsonb_set_lax
    jsonb_to_record jsonb_to_tsvector justify_days l2_distance lcm length levenshtein levenshtein_less_equal lgamma
    line log10 lower_inc lower_inf lseg macaddr8_set7bit make_timestamptz masklen metaphone min_scale money
    multirange name netmask network npoints numeric nummultirange numnode numrange overlaps parse_ident path pclose
    percent_rank pg_client_encoding pg_collation_for pg_column_compression pg_column_size pg_get_keywords
    pg_input_error_info pg_input_is_valid pg_lsn pg_size_bytes pg_typeof point polygon popen querytree radius
    random_normal range_agg range_intersect_agg range_merge record regexp_count regexp_instr regexp_like
    regexp_substr row session_user set_bit set_byte set_masklen setweight sha224 sha256 sha384 sha512 show_trgm sind
    sinh slope soundex st_area st_asbinary st_asewkt st_asgeojson st_asmvt st_asmvtgeom st_astext st_azimuth
    st_boundary st_buffer st_centroid st_clusterdbscan st_clusterkmeans st_collect st_contains st_convexhull
    st_coveredby st_covers st_crosses st_difference st_dimension st_disjoint st_distance st_distancesphere
    st_distancespheroid st_dump st_dwithin st_endpoint st_envelope st_equals st_expand st_extent st_force2d
    st_geogfromtext st_geohash st_geometrytype st_geomfromgeojson st_geomfromtext st_geomfromwkb st_intersection
    st_intersects st_isempty st_isvalid st_length st_line_locate_point st_lineinterpolatepoint st_linemerge
    st_makeenvelope st_makeline st_makepoint st_makepolygon st_makevalid st_multi st_npoints st_numgeometries
    st_overlaps st_perimeter st_point st_pointn st_pointonsurface st_polygon st_setsrid st_simplify st_snap
    st_snaptogrid st_srid st_startpoint st_touches st_transform st_union st_within st_x st_xmax st_xmin st_y st_ymax
    st_ymin st_z starts_with strict_word_similarity string_to_table strip tand text time_bucket timestamptz timetz
    timezone to_ascii to_bin to_hex to_oct trim_array trim_scale ts_debug ts_delete ts_filter ts_lexize ts_parse
    ts_token_type tsmultirange tsquery_phrase tsrange tstzmultirange tstzrange tsvector_to_array unicode_assigned
    unicode_version unistr upper_inc upper_inf uuid_extract_timestamp uuid_extract_version uuid_generate_v1
    uuid_generate_v4 uuidv4 uuidv7 var_pop var_samp varchar version width word_similarity xml_is_well_formed
    xml_is_well_formed_content xml_is_well_formed_document xmlagg xmlattributes xmlcomment xmlconcat xmlforest xmlpi
    xmlroot xmltext xpath xpath_exists"""
)
_REDSHIFT = _POSTGRES | words(
    """add_months array_concat array_flatten bttext_pattern_cmp can_json_parse convert_timezone date_cmp dateadd
    datediff dexp dlog1 dlog10 fnv_hash func_sha1 get_array_length getdate hll interval_cmp is_array is_boolean
    is_integer is_object is_scalar is_valid_json is_valid_json_array is_varchar json_extract_array_element_text
    json_parse last_day len listagg mod months_between next_day nvl nvl2 object split_to_array strtol subarray
    sysdate text_to_int_alt text_to_numeric_alt timestamp_cmp to_timestamp translate"""
)
_SQLITE = words(
    """acos acosh bm25 ceiling changes char concat concat_ws degrees exp format generate_series geopoly_area glob
    group_concat hex highlight if ifnull iif instr json json_array_insert json_error_position json_extract
    json_group_array json_group_object json_object json_pretty json_set json_tree json_type jsonb jsonb_array
    jsonb_extract jsonb_group_array jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove
    jsonb_replace jsonb_tree last_insert_rowid like likelihood likely ln log log10 log2 max median min mod nullif
    percentile_cont percentile_disc pi pow radians random randomblob regexp replace round row_number sign snippet
    soundex sqlite_compileoption_used sqlite_source_id sqlite_version string_agg substr substring subtype timediff
    total_changes unhex unicode unistr unistr_quote unlikely upper zeroblob"""
)
_MYSQL = words(
    """add_months adddate addtime aes_decrypt aes_encrypt any_value asymmetric_decrypt bin_to_uuid bit_and bit_or
    bit_xor char charset coercibility collation column_json compress connection_id convert convert_tz current_role
    current_user database dayname dayofmonth dayofweek dayofyear default des_decrypt elt encode export_set
    extractvalue first_value format format_bytes format_pico_time found_rows from_days geomcollection get_format
    greatest grouping hex icu_version inet6_aton inet6_ntoa insert instr interval is_ipv4 is_ipv4_compat
    is_ipv4_mapped is_ipv6 is_uuid isnull json json_append json_array_append json_array_insert json_compact
    json_detailed json_exists json_extract json_key_value json_keys json_loose json_merge json_normalize
    json_objectagg json_pretty json_query json_schema_valid json_schema_validation_report json_set json_storage_free
    json_storage_size json_table json_type json_value last_insert_id least left length linestring localtime
    localtimestamp log2 lpad make_set mbrcontains mbrcovers mbrdisjoint mbrequals mbrintersects mbroverlaps
    mbrtouches mbrwithin microsecond mid multilinestring multipoint multipolygon natural_sort_key nullif nvl nvl2
    point polygon pow ps_current_thread_id quarter random_bytes regexp_instr regexp_like regexp_replace regexp_substr
    row row_count schema session_user sformat sha sha1 sha2 sign st_area st_asbinary st_asgeojson st_astext st_aswkb
    st_aswkt st_buffer st_centroid st_collect st_contains st_convexhull st_crosses st_difference st_dimension
    st_disjoint st_distance st_distance_sphere st_endpoint st_envelope st_equals st_exteriorring st_geohash
    st_geometryfromtext st_geometryn st_geometrytype st_geomfromgeojson st_geomfromtext st_geomfromwkb
    st_interiorringn st_intersection st_intersects st_isclosed st_isempty st_issimple st_isvalid st_latfromgeohash
    st_latitude st_length st_linefromtext st_longfromgeohash st_longitude st_makeenvelope st_numgeometries
    st_numinteriorrings st_numpoints st_overlaps st_pointfromgeohash st_pointfromtext st_pointn st_polyfromtext
    st_simplify st_srid st_startpoint st_swapxy st_symdifference st_touches st_transform st_union st_validate
    st_within st_x st_y statement_digest std stddev subdate subtime sysdate system_user time_format timediff
    timestamp timestampadd timestampdiff to_char to_number to_seconds truncate uncompress uncompressed_length unhex
    updatexml user utc_date utc_time utc_timestamp uuid uuid_short uuid_to_bin validate_password_strength variance
    version week weekday weekofyear weight_string yearweek"""
)
_TSQL = words(
    """acos app_name approx_count_distinct approx_percentile_cont approx_percentile_disc ascii asin atan atn2 avg
    base64_decode base64_encode binary_checksum ceiling char checksum_agg compress concat concat_ws cot count_big
    current_request_id current_timezone current_timezone_id current_transaction_id current_user datalength
    date_bucket datefromparts datename datetime2fromparts datetimefromparts datetimeoffsetfromparts datetrunc db_name
    decompress degrees difference edge_id_from_parts edit_distance edit_distance_similarity eomonth error_line
    error_message error_number error_procedure error_severity error_state formatmessage generate_series get_bit
    getansinull getdate greatest grouping grouping_id hashbytes iif is_member is_rolemember is_srvrolemember isdate
    isjson isnull jaro_winkler_distance jaro_winkler_similarity json_modify json_object json_objectagg
    json_path_exists json_query json_value lag least left left_shift len log10 ltrim min_active_rowversion nchar
    newid newsequentialid original_login parse parsename percentile_cont percentile_disc pi power product radians
    rand regexp_count regexp_instr regexp_like regexp_replace regexp_substr replicate right_shift round rowcount_big
    schema_name scope_identity session_id session_user set_bit smalldatetimefromparts soundex space
    sql_variant_property square stdev stdevp str string_agg stuff suser_id suser_name suser_sid suser_sname
    sysdatetime sysdatetimeoffset system_user timefromparts todatetimeoffset translate trigger_nestlevel trim
    try_cast try_convert try_parse unicode user_id user_name var varp vector_distance vector_norm vector_normalize
    xact_state year"""
)
_SNOWFLAKE = words(
    """acosh approx_count_distinct approx_percentile_accumulate approx_percentile_combine approx_percentile_estimate
    approx_top_k array_agg array_append array_cat array_compact array_construct array_construct_compact
    array_contains array_distinct array_except array_flatten array_generate_range array_insert array_intersection
    array_max array_min array_position array_prepend array_remove array_remove_at array_reverse array_size
    array_slice array_sort array_to_string array_union_agg array_unique_agg arrays_overlap arrays_to_object
    arrays_zip as_array as_binary as_boolean as_char as_date as_decimal as_double as_integer as_number as_object
    as_real as_time as_timestamp_ltz as_timestamp_ntz as_timestamp_tz as_varchar base64_decode_binary
    base64_decode_string base64_encode bit_and bit_length bitand bitand_agg bitmap_bit_position bitmap_bucket_number
    bitmap_construct_agg bitmap_count bitmap_or_agg bitnot bitor bitor_agg bitshiftleft bitshiftright bitxor
    bitxor_agg booland booland_agg boolnot boolor boolor_agg boolxor boolxor_agg cbrt check_json check_xml classifier
    collate collation compress contains convert_timezone current_account current_account_name current_available_roles
    current_client current_database current_date current_ip_address current_organization_name current_region
    current_role current_role_type current_schema current_schemas current_secondary_roles current_session
    current_statement current_time current_timestamp current_transaction current_user current_version
    current_warehouse date_diff date_from_parts date_trunc dateadd datediff datefromparts dayname dayofweekiso decode
    decompress_binary decompress_string div0 div0null editdistance endswith equal_null factorial filter flatten floor
    from_parts get get_ignore_case get_path getbit getdate greatest greatest_ignore_nulls grouping grouping_id
    h3_cell_to_boundary h3_cell_to_children h3_cell_to_children_string h3_cell_to_parent h3_cell_to_point
    h3_compact_cells h3_coverage h3_coverage_strings h3_get_resolution h3_grid_disk h3_grid_distance h3_grid_path
    h3_int_to_string h3_is_pentagon h3_is_valid_cell h3_latlng_to_cell h3_latlng_to_cell_string h3_point_to_cell
    h3_point_to_cell_string h3_polygon_to_cells h3_polygon_to_cells_strings h3_string_to_int h3_uncompact_cells
    hash_agg haversine hex_decode_binary hex_decode_string hex_encode hll hll_accumulate hll_combine hll_estimate
    hll_export hll_import iff ilike ilike_any insert invoker_role invoker_share is_array is_binary is_boolean is_char
    is_database_role_in_session is_date is_date_value is_decimal is_double is_integer is_null_value is_object is_real
    is_role_in_session is_time is_timestamp_ltz is_timestamp_ntz is_timestamp_tz is_varchar jarowinkler_similarity
    json_extract_path_text kurtosis last_day last_query_id last_transaction least least_ignore_nulls len like_all
    like_any listagg localtime localtimestamp log map_cat map_contains_key map_delete map_insert map_keys map_pick
    map_size match_number match_sequence_number max_by md5 md5_binary md5_hex md5_number_lower64 md5_number_upper64
    min_by minhash minhash_combine mode monthname months_between next_day normal nullifzero nvl object_agg
    object_construct object_construct_keep_null object_delete object_insert object_keys object_pick overlay parse_ip
    parse_json parse_url parse_xml percentile_approx position previous_day random randstr reduce regexp_count
    regexp_extract_all regexp_instr regexp_like regexp_replace regexp_substr regexp_substr_all regr_avgx regr_avgy
    regr_sxx regr_sxy regr_syy regr_valx regr_valy rlike round rtrimmed_length search seq1 seq2 seq4 seq8 sha1
    sha1_binary sha1_hex sha2 sha2_binary sha2_hex skew soundex soundex_p123 space split split_part split_to_table
    sqrt square st_area st_asbinary st_asewkb st_asewkt st_asgeojson st_astext st_aswkb st_aswkt st_azimuth st_buffer
    st_centroid st_collect st_contains st_convexhull st_coveredby st_covers st_difference st_dimension st_disjoint
    st_distance st_dwithin st_endpoint st_envelope st_geogfromgeohash st_geogfromtext st_geogfromwkb st_geogfromwkt
    st_geogpointfromgeohash st_geographyfromwkb st_geographyfromwkt st_geohash st_geometryfromtext st_geometryfromwkb
    st_geometryfromwkt st_geomfromgeohash st_geomfromtext st_geomfromwkb st_geomfromwkt st_geompoint
    st_geompointfromgeohash st_hausdorffdistance st_interpolate st_intersection st_intersection_agg st_intersects
    st_isvalid st_length st_makegeompoint st_makeline st_makepoint st_makepolygon st_makepolygonoriented st_npoints
    st_numpoints st_perimeter st_point st_pointn st_polygon st_setsrid st_simplify st_srid st_startpoint
    st_symdifference st_transform st_union st_union_agg st_within st_x st_xmax st_xmin st_y st_ymax st_ymin
    strip_null_value strtok strtok_split_to_table strtok_to_array sys_connect_by_path sysdate systimestamp
    time_from_parts time_slice timeadd timediff timefromparts timestamp_from_parts timestamp_ltz_from_parts
    timestamp_ntz_from_parts timestamp_tz_from_parts timestampadd timestampdiff timestampfromparts
    timestampltzfromparts timestampntzfromparts timestamptzfromparts to_array to_binary to_boolean to_char to_date
    to_decimal to_double to_geography to_geometry to_number to_numeric to_object to_time to_timestamp to_varchar
    to_variant to_xml transform translate truncate try_base64_decode_binary try_base64_decode_string try_cast
    try_hex_decode_binary try_hex_decode_string try_parse_json try_to_binary try_to_boolean try_to_date
    try_to_decfloat try_to_decimal try_to_double try_to_geography try_to_geometry try_to_number try_to_numeric
    try_to_time try_to_timestamp try_to_timestamp_ltz try_to_timestamp_ntz try_to_timestamp_tz unicode uniform
    uuid_string vector_cosine_similarity vector_inner_product vector_l2_distance week weekiso width_bucket xmlget
    yearofweek yearofweekiso zeroifnull zipf"""
)
_DUCKDB = words(
    """abs acos acosh add ago any_value apply approx_count_distinct approx_quantile approx_top_k arbitrary arg_max
    arg_min argmax argmin array_agg array_aggr array_aggregate array_append array_apply array_cat array_concat
    array_contains array_cosine_distance array_cosine_similarity array_cross_product array_distance array_distinct
    array_dot_product array_extract array_filter array_grade_up array_has array_has_all array_has_any array_indexof
    array_inner_product array_intersect array_negative_dot_product array_negative_inner_product array_pop_back
    array_pop_front array_position array_prepend array_push_back array_push_front array_reduce array_resize
    array_reverse array_reverse_sort array_select array_slice array_sort array_to_json array_to_string
    array_to_string_comma_default array_transform array_unique array_value array_where array_zip ascii asin asinh
    atan atan2 atanh avg bar base64 binom bit_and bit_length bit_or bit_position bit_xor bitstring bitstring_agg
    cast_to_type cbrt ceil ceiling century char_length character_length chr concat concat_ws contains corr cos cosh
    cot count count_if count_star countif covar_pop covar_samp current_catalog current_database current_date
    current_localtime current_localtimestamp current_role current_schema current_schemas current_user
    damerau_levenshtein date_add date_diff date_sub date_trunc datediff datesub datetrunc day dayname dayofmonth
    dayofweek dayofyear days_in_month decade decimal_division decode degrees divide editdist3 element_at encode
    ends_with entropy enum_code enum_first enum_last enum_range epoch epoch_ms epoch_ns epoch_us equi_width_bins era
    even excel_text exp factorial favg fdiv filter first flatten floor fmod format format_bytes format_pg_type
    format_type formatreadabledecimalsize formatreadablesize from_base64 from_binary from_hex from_json
    from_json_strict fsum gamma gcd gen_random_uuid generate_series generate_subscripts geomean geometric_mean
    get_bit get_current_time get_current_timestamp get_type grade_up greatest greatest_common_divisor group_concat
    hamming hex hist histogram histogram_exact hour if instr isinf isnan isodow isoyear jaccard jaro_similarity
    jaro_winkler_similarity json json_deep_merge json_exists json_extract json_extract_path json_extract_path_text
    json_extract_string json_group_array json_group_object json_group_structure json_keys json_merge_patch_diff
    json_normalize json_object json_pretty json_serialize_sql json_set json_structure json_transform
    json_transform_strict json_type json_value julian kahan_sum kurtosis kurtosis_pop last last_day lcm least
    least_common_multiple left left_grapheme len length length_grapheme levenshtein lgamma list list_aggr
    list_aggregate list_any_value list_append list_apply list_approx_count_distinct list_avg list_bit_and list_bit_or
    list_bit_xor list_bool_and list_bool_or list_cat list_concat list_contains list_cosine_distance
    list_cosine_similarity list_count list_distance list_distinct list_dot_product list_element list_entropy
    list_extract list_filter list_first list_grade_up list_has list_has_all list_has_any list_histogram list_indexof
    list_inner_product list_intersect list_kurtosis list_kurtosis_pop list_last list_mad list_max list_median
    list_min list_mode list_negative_dot_product list_negative_inner_product list_pack list_position list_prepend
    list_product list_reduce list_resize list_reverse list_reverse_sort list_select list_sem list_skewness list_slice
    list_sort list_stddev_pop list_stddev_samp list_string_agg list_sum list_transform list_unique list_value
    list_var_pop list_var_samp list_where list_zip listagg ln log log10 log2 lower lpad ltrim lttb mad
    make_timestamp_ms make_timestamp_ns make_timestamptz map map_concat map_contains map_contains_entry
    map_contains_value map_entries map_extract map_extract_value map_from_entries map_keys map_values max max_by md5
    md5_number md5_number_lower md5_number_upper mean median microsecond millennium millisecond min min_by minute
    mismatches mod mode month monthname multiply nanosecond nextafter nfc_normalize normalized_interval nullif
    overlay parse_dirname parse_dirpath parse_filename parse_formatted_bytes parse_path path_join pg_typeof pi
    position pow power prefix product quantile quantile_cont quantile_disc quarter radians random range reduce
    regexp_escape regexp_extract regexp_extract_all regexp_full_match regexp_replace regr_avgx regr_avgy regr_count
    regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy repeat replace reservoir_quantile reverse right
    right_grapheme round round_even roundbankers row rpad rtrim second sem session_user set_bit sha1 sha256 sign
    signbit sin sinh skewness split split_part sqrt st_area st_asbinary st_asgeojson st_astext st_aswkb st_aswkt
    st_buffer st_centroid st_contains st_convexhull st_covers st_crs st_difference st_distance st_distance_sphere
    st_dwithin st_envelope st_geomfromgeojson st_geomfromtext st_geomfromwkb st_intersection st_intersects
    st_intersects_extent st_isempty st_isvalid st_length st_makeenvelope st_makeline st_perimeter st_point st_setcrs
    st_simplify st_touches st_transform st_union st_union_agg st_within st_x st_y starts_with stddev stddev_pop
    stddev_samp str_split str_split_regex string_agg string_split_regex string_to_array strip_accents strlen strpos
    strptime struct_concat struct_contains struct_extract struct_extract_at struct_has struct_indexof struct_insert
    struct_keys struct_pack struct_position struct_update struct_values substr substring substring_grapheme subtract
    suffix sum sum_no_overflow sumkahan switch tan tanh text time_bucket timezone timezone_hour timezone_minute
    to_base to_base64 to_binary to_centuries to_days to_decades to_hex to_hours to_microseconds to_millennia
    to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks to_years translate trim
    try_strptime unbin unhex unicode union_extract union_tag union_value upper url_decode url_encode user uuid
    uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 var_pop var_samp variance variant_array_length
    variant_contains variant_exists variant_extract variant_extract_string variant_keys variant_type variant_typeof
    version vertex_extract wavg week weekday weekofyear weighted_avg xor year yearweek"""
)
_CLICKHOUSE = words(
    """abs adddays addhours addminutes addmonths addseconds addweeks addyears alphatokens anyheavy anylast argmax argmin
    arrayall arrayavg arraycompact arrayconcat arraycount arraycumsum arraydifference arraydistinct arrayelement
    arrayenumerate arrayenumerateuniq arrayexists arrayfill arrayfilter arrayfirst arrayfirstindex arrayflatten
    arrayintersect arrayjoin arraylast arraylastindex arraymap arraymax arraymin arraypopback arraypopfront
    arraypushback arraypushfront arrayreduce arrayresize arrayreverse arrayreversesort arrayslice arraysort
    arraysplit arraystringconcat arraysum arrayuniq arraywithconstant arrayzip assumenotnull avgif avgweighted bar
    base64decode base64encode bitand bitcount bitnot bitor bitshiftleft bitshiftright bittest bitxor ceil char_length
    cityhash64 coalesce concat countif countsubstrings currentdatabase currentuser cutquerystring
    cuttofirstsignificantsubdomain cuturlparameter cutwww dateadd datediff datename datesub decodeurlcomponent divide
    domain domainwithoutwww empty emptyarraystring encodeurlcomponent endswith exp extract extractall extractgroups
    extracturlparameter extracturlparameternames extracturlparameters farmhash64 firstsignificantsubdomain floor
    format formatdatetime formatreadablequantity formatreadablesize formatreadabletimedelta fragment
    fromunixtimestamp fromunixtimestamp64milli gcd generateuuidv4 geodistance geohashencode geotoh3
    greatcircledistance greatest grouparray grouparrayinsertat grouparraymovingavg groupuniqarray h3tostring halfmd5
    has hasall hasany hassubstr hex if ifnull ilike indexof intdiv intdivorzero inthash32 inthash64 ipv4numtostring
    ipv4stringtonum ipv6numtostring isipv4string isipv6string isnotnull isnull isvalidjson javahash jsonextract
    jsonextractarrayraw jsonextractbool jsonextractfloat jsonextractint jsonextractkeys jsonextractkeysandvalues
    jsonextractraw jsonextractstring jsonextractuint jsonhas jsonlength jsontype lcm least leftpad length lengthutf8
    like log log10 log2 lower lowerutf8 map mapapply mapcontains mapfilter mapkeys mapvalues match maxif md5 median
    minif minus modulo multiif multimatchany multiply multisearchany murmurhash2_32 murmurhash3_32 murmurhash3_64
    negate neighbor ngramdistance notempty notlike now64 nullif parsedatetime parsedatetimebesteffort
    parsedatetimebesteffortornull path pathfull plus pointinpolygon port position positioncaseinsensitive
    positionutf8 pow protocol quantile quantileexact quantiles quantiletdigest quantiletiming querystring rand rand64
    randconstant range replaceall replaceone replaceregexpall replaceregexpone retention reverse reverseutf8 rightpad
    round roundbankers rounddown rownumberinallblocks rownumberinblock runningaccumulate runningdifference
    sequencecount sequencematch sha1 sha224 sha256 sign simplejsonextractint simplejsonextractstring simplejsonhas
    siphash128 siphash64 splitbychar splitbyregexp splitbystring splitbywhitespace sqrt startswith substring
    substringutf8 subtractdays subtracthours subtractminutes subtractmonths subtractweeks subtractyears sumif summap
    timeslot timezone todate32 todateornull todateorzero todatetime64 todatetimeornull todatetimeorzero todayofyear
    todecimal128 todecimal32 todecimal64 tofixedstring tofloat32 tofloat64ornull tofloat64orzero toint16
    toint16ornull toint32ornull toint32orzero toint64ornull toint64orzero toint8 toint8ornull tointerval
    tointervalday tointervalhour tointervalminute tointervalmonth tointervalsecond tointervalweek tointervalyear
    toipv4 toipv6 toisoweek toisoyear tojsonstring tolastdayofmonth tolowcardinality tominute tomonday tonullable
    topk topkweighted topleveldomain toquarter tosecond tostartofday tostartoffifteenminutes tostartoffiveminutes
    tostartofhour tostartofinterval tostartofminute tostartofmonth tostartofquarter tostartoftenminutes tostartofweek
    tostartofyear totimezone totypename touint16 touint32orzero touint64ornull touint64orzero touint8 tounixtimestamp
    tounixtimestamp64milli touuid toweek toyearweek toyyyymmddhhmmss trimboth trimleft trimright tuple tupleelement
    unhex uniq uniqcombined uniqcombined64 uniqexact uniqhll12 uniqif untuple upper upperutf8 urlhierarchy
    urlpathhierarchy version visitparamextractbool visitparamextractfloat visitparamextractint visitparamextractraw
    visitparamextractstring visitparamextractuint visitparamhas windowfunnel xxhash32 xxhash64"""
)
_SPARK = words(
    """add_months aggregate approx_count_distinct approx_percentile array array_agg array_append array_compact
    array_contains array_distinct array_except array_insert array_intersect array_join array_max array_min
    array_position array_prepend array_remove array_repeat array_size array_sort array_union arrays_overlap
    arrays_zip ascii base64 bigint binary bit_and bit_get bit_length bit_or bit_xor boolean bround cbrt char
    char_length character_length chr collect_list collect_set concat_ws contains convert_timezone corr cos count_if
    count_min_sketch csc cume_dist current_catalog current_database current_schema current_timezone current_user
    date_add date_diff date_from_parts date_from_unix_date date_sub date_trunc dateadd datediff day dayname
    dayofmonth dayofweek dayofyear decimal decode degrees double element_at elt encode endswith equal_null exists exp
    explode explode_outer expm1 extract factorial filter first first_value flatten float floor forall format_number
    format_string from_csv from_json from_utc_timestamp get get_json_object getbit greatest grouping grouping_id
    h3_boundaryaswkt h3_longlatash3 h3_longlatash3string h3_toparent hex histogram_numeric hour hypot if ifnull ilike
    initcap inline inline_outer instr int is_member is_variant_null isnan isnotnull isnull json_tuple kurtosis lag
    last last_day last_value lead least left len length levenshtein like listagg ln log log10 log1p log2 lower lpad
    ltrim luhn_check make_dt_interval make_interval make_timestamp_ltz make_timestamp_ntz make_ym_interval map
    map_concat map_contains_key map_entries map_filter map_from_arrays map_from_entries map_keys map_values
    map_zip_with mask max max_by md5 mean median min min_by minute mode monotonically_increasing_id month monthname
    months_between named_struct nanvl negative next_day nth_value ntile nullif nvl nvl2 overlay parse_json parse_url
    percent_rank percentile_approx pi pmod posexplode posexplode_outer position positive pow quarter radians rand
    randn random range rank reduce regexp regexp_count regexp_extract regexp_extract_all regexp_instr regexp_like
    regexp_replace regexp_substr regr_avgx regr_avgy regr_count regr_r2 repeat replace reverse right rint rlike round
    row_number rpad rtrim schema_of_csv schema_of_json second sentences sequence session_user session_window sha sha1
    sha2 shiftleft shiftright shiftrightunsigned shuffle sign signum size skewness slice smallint some sort_array
    soundex space spark_partition_id split split_part sqrt stack startswith std stddev str_to_map string string_agg
    struct substr substring substring_index sum tan timestamp timestamp_micros timestamp_millis timestamp_seconds
    tinyint to_binary to_char to_csv to_date to_number to_timestamp to_unix_timestamp to_utc_timestamp
    to_variant_object transform transform_keys transform_values translate trim try_add try_avg try_cast try_divide
    try_element_at try_multiply try_parse_json try_subtract try_sum try_to_binary try_to_number try_to_timestamp
    try_variant_get unbase64 unhex unix_date unix_micros unix_millis unix_seconds upper url_decode url_encode user
    uuid var_pop var_samp variance variant_get version weekday weekofyear width_bucket window window_time xpath
    xpath_boolean xpath_double xpath_float xpath_int xpath_long xpath_number xpath_short xpath_string xxhash64 year
    zip_with"""
)
_TRINO = words(
    """all_match any_match approx_distinct approx_most_frequent approx_percentile approx_set arbitrary array_frequency
    array_histogram array_join array_remove array_sort arrays_overlap at_timezone bar bing_tile bitwise_and
    bitwise_and_agg bitwise_left_shift bitwise_not bitwise_or bitwise_or_agg bitwise_right_shift bitwise_xor
    char2hexint chr codepoint combinations concat_ws contains cosine_similarity count_if current_groups
    current_timezone date_add date_diff date_parse day_of_month day_of_week day_of_year dow doy e element_at
    empty_approx_set entropy evaluate_classifier_predictions filter flatten format format_number from_base
    from_base32 from_base64 from_base64url from_big_endian_32 from_big_endian_64 from_hex from_ieee754_32
    from_ieee754_64 from_iso8601_date from_iso8601_timestamp from_unixtime_nanos from_utf8 geometric_mean
    great_circle_distance hamming_distance histogram hmac_md5 hmac_sha1 hmac_sha256 hmac_sha512
    human_readable_seconds index infinity inverse_beta_cdf inverse_normal_cdf is_finite is_infinite is_json_scalar
    is_nan jaccard_index json_array_contains json_array_get json_exists json_extract json_extract_scalar json_format
    json_parse json_query json_size json_value kurtosis last_day_of_month levenshtein_distance listagg ln log10 log2
    luhn_check map map_agg map_concat map_entries map_filter map_from_entries map_keys map_union map_values
    map_zip_with max_by merge millisecond min_by mod multimap_agg multimap_from_entries murmur3 nan ngrams none_match
    normal_cdf normalize numeric_histogram parse_data_size parse_datetime parse_duration parse_presto_data_size pi
    position pow qdigest_agg quantile_at_value quarter rand random reduce reduce_agg regexp_count regexp_extract
    regexp_extract_all regexp_like regexp_position regexp_replace regexp_split render repeat reverse rgb round
    sequence sha1 sha256 sha512 shuffle sign skewness slice soundex spatial_partitions split split_part split_to_map
    split_to_multimap spooky_hash_v2_32 spooky_hash_v2_64 st_area st_astext st_buffer st_centroid st_contains
    st_distance st_geometryfromtext st_intersects st_length st_point st_within st_x st_y starts_with strpos
    tdigest_agg timestamp_objectid timezone_hour timezone_minute to_base to_base32 to_base64 to_base64url
    to_big_endian_32 to_big_endian_64 to_char to_date to_geometry to_hex to_ieee754_32 to_ieee754_64 to_iso8601
    to_milliseconds to_spherical_geography to_timestamp to_unixtime to_utf8 transform transform_keys transform_values
    translate trim_array truncate try url_decode url_encode url_extract_fragment url_extract_host
    url_extract_parameter url_extract_path url_extract_port url_extract_protocol url_extract_query uuid
    value_at_quantile values_at_quantiles version week_of_year width_bucket wilson_interval_lower
    wilson_interval_upper with_timezone word_stem xxhash64 year_of_week yow zip zip_with"""
)
_ORACLE = words(
    """add_months approx_count_distinct ascii asciistr bin_to_num bitand chartorowid chr coalesce collation compose
    concat convert corr_k corr_s cosh current_date dbtimezone decode decompose dump extract extractvalue from_tz
    greatest hextoraw initcap instr instrb json_exists json_object json_query json_value last_day least length
    lengthb listagg lnnvl localtimestamp lower lpad ltrim mod months_between nanvl nchr new_time next_day nls_initcap
    nls_lower nls_upper nlssort ntile nullif numtodsinterval numtoyminterval nvl nvl2 ora_hash power rawtohex
    regexp_count regexp_instr regexp_like regexp_replace regexp_substr remainder replace round rowidtochar rpad rtrim
    scn_to_timestamp sessiontimezone sign sinh soundex sqrt stats_mode substr substrb sys_connect_by_path
    sys_extract_utc sys_guid sysdate systimestamp tanh timestamp_to_scn to_binary_double to_binary_float to_char
    to_clob to_date to_dsinterval to_multi_byte to_nchar to_number to_single_byte to_timestamp to_yminterval
    translate trim tz_offset uid unistr upper user validate_conversion vsize width_bucket wm_concat xmlagg xmlelement
    xmlforest"""
)

# By the parser's names of the dialects. A dotted name is a built-in function of a namespace.
FUNCTIONS_OF: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "bigquery": _BIGQUERY,
        "clickhouse": _CLICKHOUSE,
        "databricks": _SPARK,
        "duckdb": _DUCKDB,
        "mysql": _MYSQL,
        "oracle": _ORACLE,
        "postgres": _POSTGRES,
        "redshift": _REDSHIFT,
        "snowflake": _SNOWFLAKE,
        "spark": _SPARK,
        "sqlite": _SQLITE,
        "trino": _TRINO,
        "tsql": _TSQL,
    }
)
