use super::{negotiate, takes_gzip};
use crate::exposition::Format::{OpenMetrics, Text};

#[test]
fn the_format_goes_by_quality() {
    for (accept, format) in [
        ("", Text),
        ("*/*", Text),
        ("text/plain", Text),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Text),
        ("application/openmetrics-text", OpenMetrics),
        ("application/openmetrics-text; version=1.0.0", OpenMetrics),
        (
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8",
            OpenMetrics,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
            OpenMetrics,
        ),
        // Versions that we do not write.
        ("application/openmetrics-text;version=0.0.1", Text),
        ("application/openmetrics-text;version=2.0.0", Text),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
            Text,
        ),
        (
            "text/plain;version=1.0.0, application/openmetrics-text;q=0.1",
            OpenMetrics,
        ),
        // Prometheus 2.42 and Prometheus 3.
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OpenMetrics,
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            OpenMetrics,
        ),
        // Text has a higher quality.
        (
            "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.5",
            Text,
        ),
        ("application/openmetrics-text;q=0.5,text/*;q=0.6", Text),
        ("application/openmetrics-text;q=0.5,*/*;q=0.6", Text),
        // OpenMetrics is named, with the lowest quality.
        (
            "application/openmetrics-text;q=0.5,text/plain;q=0.4,*/*",
            OpenMetrics,
        ),
        (
            "application/openmetrics-text;q=0.5,text/plain;q=0.6,text/*;q=0.1",
            Text,
        ),
        // Equal quality: the first wins, but a name wins over a range.
        ("text/plain,application/openmetrics-text", Text),
        ("application/openmetrics-text,text/plain", OpenMetrics),
        ("*/*,application/openmetrics-text", OpenMetrics),
        // OpenMetrics is refused.
        ("application/openmetrics-text;q=0", Text),
        ("application/openmetrics-text;q=0,text/plain;q=0", Text),
        (
            "application/openmetrics-text;q=0.1,text/plain;q=0",
            OpenMetrics,
        ),
        // The quality is not a number from 0 to 1.
        ("application/openmetrics-text;q=NaN", Text),
        ("application/openmetrics-text;q=2,text/plain;q=0.1", Text),
        ("application/openmetrics-text;q=-1", Text),
        ("application/openmetrics-text;q=", Text),
        (
            ",;q=,=;,application/openmetrics-text ; q = 1 ;,",
            OpenMetrics,
        ),
    ] {
        assert_eq!(negotiate(Some(accept)), format, "{accept}");
    }
    assert_eq!(negotiate(None), Text);
}

#[test]
fn gzip_has_to_be_named_and_not_refused() {
    for (accept, takes) in [
        ("gzip", true),
        ("deflate, GZIP;q=0.5", true),
        ("x-gzip", true),
        ("gzip;q=0.001", true),
        ("gzip;q=0", false),
        ("gzip;q=0.0, identity", false),
        ("", false),
        ("identity", false),
        ("*", false),
        ("gzipped", false),
        ("gzip;q=x", false),
    ] {
        assert_eq!(takes_gzip(Some(accept)), takes, "{accept}");
    }
    assert!(!takes_gzip(None));
}
