//! RPM_APP_METRICS_* alone and in combination.

use std::num::NonZeroU16;

use super::*;
use crate::config::testing::{NEVER, good, told};
use worker_vars::MULTIPROC_DIR;

fn path(port: Option<u16>, path: &str) -> MetricsSource {
    MetricsSource::Path {
        port: port.and_then(NonZeroU16::new),
        path: path.to_owned(),
    }
}

fn metrics(value: &'static str) -> (&'static str, &'static str) {
    ("RPM_APP_METRICS", value)
}

#[test]
fn nothing_set_is_the_documented_default() {
    let expected = Admin {
        addr: Some("[::]:9464".parse().unwrap()),
        app_metrics: AppMetrics {
            source: None,
            gauges: vec![],
            interval: Some(Duration::from_secs(5)),
        },
        termination_log: "/dev/termination-log".into(),
    };
    assert_eq!(good(&[]).config.admin, expected);
}

#[test]
fn places_of_metrics() {
    let long = format!("/{}", "x".repeat(1023));
    let table = [
        ("/metrics", path(None, "/metrics")),
        (" /a:b//c?x=%20 ", path(None, "/a:b//c?x=%20")),
        (&long, path(None, &long)),
        (":9100/metrics", path(Some(9100), "/metrics")),
        (":65535/", path(Some(65_535), "/")),
        ("MultiProc", MetricsSource::Multiproc { dir: None }),
    ];
    for (text, expected) in table {
        assert_eq!(source::source(text), Ok(Some(expected)), "{text}");
    }
    assert_eq!(source::source(" OFF "), Ok(None));
}

#[test]
fn places_that_cannot_be_meant() {
    let long = format!(":1/{}", "x".repeat(1024));
    let table = [
        (
            "http://localhost:3000/prom/metrics",
            "is a whole URL; it is the worker that is asked, for a path, maybe \"/prom/metrics\"",
        ),
        (
            "https://localhost:3000",
            "is a whole URL; it is the worker that is asked, for a path, maybe \"/metrics\"",
        ),
        (
            "localhost:3000/metrics",
            "names a host; it is the worker that is asked, for a path, maybe \"/metrics\"",
        ),
        (
            "[::1]:9100",
            "names a host; it is the worker that is asked, for a path, maybe \"/metrics\"",
        ),
        (
            "//localhost/metrics",
            "names a host; it is the worker that is asked, for a path",
        ),
        (
            "http:/metrics",
            "is written as in RPM_HEALTH; here the path stands alone, \"/metrics\"",
        ),
        (
            "9100",
            "is a port without a path; with one it is :9100/metrics",
        ),
        (
            "9100/metrics",
            "has no colon before the port; with one it is \":9100/metrics\"",
        ),
        (
            ":9100",
            "names a port without a path; with one it is :9100/metrics",
        ),
        (":0/metrics", "names port 0, which is nobody's"),
        (":/metrics", "has no port behind the colon"),
        (":", "has no port behind the colon"),
        (":http/metrics", "\"http\" is not a port"),
        (":+80/metrics", "\"+80\" is not a port"),
        (":65536/metrics", "the port \"65536\" is above 65535"),
        (
            ":80//x",
            "names a host; it is the worker that is asked, for a path",
        ),
        (&long, "the path is 1025 bytes long, more than 1024"),
        (
            "/a b",
            "the path holds \" \", which must be percent-encoded, as %20 is for a blank",
        ),
        (
            ":80/a\r\nX: y",
            "the path holds \"\\r\", which must be percent-encoded, as %20 is for a blank",
        ),
        ("metrics", "does not begin with /"),
        ("metrics/all", "does not begin with /"),
        (
            "multiprocess",
            "does not begin with /; did you mean multiproc?",
        ),
        (
            "true",
            "does not tell where the metrics are; for most programs that is /metrics",
        ),
        (
            "On",
            "does not tell where the metrics are; for most programs that is /metrics",
        ),
        ("false", "is written off here"),
        ("0", "is written off here"),
        (" ", "does not begin with /"),
    ];
    for (text, complaint) in table {
        assert_eq!(
            source::source(text).unwrap_err().what,
            complaint,
            "{text:?}"
        );
    }
}

#[test]
fn how_often_they_are_collected() {
    for (text, expected) in [
        ("0", None),
        ("0s", None),
        ("1s", Some(1)),
        ("24h", Some(86_400)),
    ] {
        assert_eq!(
            interval(text),
            Ok(expected.map(Duration::from_secs)),
            "{text}"
        );
    }
    for (text, complaint) in [
        ("999ms", "is below 1s"),
        ("5", "needs a unit"),
        ("25h", "is above the limit of 24h"),
        ("off", "does not begin with a number"),
    ] {
        assert_eq!(interval(text).unwrap_err().what, complaint, "{text}");
    }
}

#[test]
fn the_directory_of_python_is_the_users_or_ours() {
    let multiproc = metrics("multiproc");
    let of = |vars: &[(&str, &str)]| {
        let resolved = good(vars);
        let mut lines = resolved.lines.into_iter();
        let line = lines.find(|line| line.name == multiproc.0).unwrap();
        assert_eq!(line.value, "multiproc");
        (resolved.config.admin.app_metrics.source, line.note.unwrap())
    };
    let given = |dir: &str| {
        Some(MetricsSource::Multiproc {
            dir: Some(dir.into()),
        })
    };
    let own = Some(MetricsSource::Multiproc { dir: None });
    let own = (own, "in a directory of our own".to_owned());
    assert_eq!(of(&[multiproc]), own);
    assert_eq!(of(&[multiproc, (MULTIPROC_DIR.name, "")]), own);
    assert_eq!(
        of(&[
            multiproc,
            (MULTIPROC_DIR.name, "/var/prom"),
            (MULTIPROC_DIR.name, "/x")
        ]),
        (
            given("/var/prom"),
            "in /var/prom, PROMETHEUS_MULTIPROC_DIR".to_owned()
        )
    );
}

#[test]
fn a_path_needs_a_shared_port() {
    let path = metrics("/metrics");
    let fork = ("RPM_EXEC_MODE", "fork");
    let off = ("RPM_PORTS", "off");
    let multiproc = metrics("multiproc");
    for vars in [
        &[fork, multiproc][..],
        &[off, multiproc],
        &[NEVER, multiproc],
        &[off, metrics("off")],
        &[NEVER, path, ("RPM_EXEC_MODE", "cluster")],
        &[NEVER, path, ("RPM_PORTS", "auto")],
        &[NEVER, path, ("RPM_INSTANCES", "2")],
    ] {
        assert_eq!(good(vars).warnings, [""; 0], "{vars:?}");
    }
    for (other, why, remedy) in [
        (fork, "RPM_EXEC_MODE=fork", "RPM_EXEC_MODE=cluster"),
        (off, "RPM_PORTS=off", "RPM_PORTS=auto or a list"),
        (
            NEVER,
            "the fork mode that RPM_RESTART=never implies with one instance and no RPM_PORTS",
            "RPM_EXEC_MODE=cluster",
        ),
    ] {
        for value in ["/metrics", ":9100/metrics"] {
            assert_eq!(
                told(&[other, metrics(value)]),
                [format!(
                    "RPM_APP_METRICS=\"{value}\": asks each worker over a shared port, and {why} shares none; \
                     accepted: multiproc (Python), leaving it unset, or {remedy}"
                )]
            );
        }
    }
}

#[test]
fn a_side_port_is_one_of_the_shared() {
    let side = metrics(":9100/metrics");
    for ports in ["auto", "3000,9100", "3000,127.0.0.1:9100"] {
        good(&[side, ("RPM_PORTS", ports)]);
    }
    assert_eq!(
        told(&[side, ("RPM_PORTS", "3000,[::1]:8443")]),
        [
            "RPM_APP_METRICS=\":9100/metrics\": port 9100 is not in RPM_PORTS, so it is not shared and no single worker \
          can be asked; accepted: a port of RPM_PORTS, or a longer list there, 3000,[::1]:8443,9100"
        ]
    );
    let admin = metrics(":9464/metrics");
    assert_eq!(
        told(&[admin]),
        [
            "RPM_APP_METRICS=\":9464/metrics\": port 9464 is RPM_ADMIN_ADDR ([::]:9464), where the runtime answers \
          itself; accepted: a port of the program, or a path alone"
        ]
    );
    good(&[admin, ("RPM_ADMIN_ADDR", "0.0.0.0:9465")]);
    good(&[
        admin,
        ("RPM_ADMIN_ADDR", "127.0.0.1:9464"),
        ("RPM_PORTS", "127.0.0.2:9464"),
    ]);
}

#[test]
fn metrics_that_nobody_could_read_are_told() {
    let off = ("RPM_ADMIN_ADDR", "off");
    for value in ["/metrics", "multiproc"] {
        let told = told(&[off, metrics(value)]);
        assert_eq!(
            told,
            [format!(
                "RPM_APP_METRICS=\"{value}\": is for /metrics of the runtime, and RPM_ADMIN_ADDR=off: nobody could read \
                 them; accepted: off, or another RPM_ADMIN_ADDR"
            )]
        );
    }
    good(&[off, metrics("off")]);
}

#[test]
fn what_would_count_twice_or_not_at_all_is_a_warning() {
    let path = metrics("/metrics");
    let dir = (MULTIPROC_DIR.name, "/var/prom");
    let warnings = good(&[path, dir]).warnings;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0]
            .starts_with("RPM_APP_METRICS asks each worker, and PROMETHEUS_MULTIPROC_DIR is set:"),
        "{warnings:?}"
    );
    for vars in [&[dir][..], &[dir, metrics("multiproc")]] {
        assert_eq!(good(vars).warnings, [""; 0]);
    }
    for row in [
        ("RPM_APP_METRICS_GAUGES", "a=sum"),
        ("RPM_APP_METRICS_INTERVAL", "1s"),
    ] {
        let text = format!("{} has no effect without RPM_APP_METRICS", row.0);
        assert_eq!(good(&[row]).warnings, [text]);
        assert_eq!(good(&[row, path]).warnings, [""; 0]);
    }
}

#[test]
fn admin_addresses() {
    for text in ["0.0.0.0:9464", "[::]:9464", "127.0.0.1:0"] {
        assert_eq!(admin_addr(text), Ok(Some(text.parse().unwrap())));
    }
    // As Kubernetes names a Service in a variable.
    for text in ["10.1.2.3:9464", "[fd00::1]:9464"] {
        let named = format!("tcp://{text}");
        assert_eq!(admin_addr(&named), Ok(Some(text.parse().unwrap())));
    }
    assert_eq!(admin_addr("off"), Ok(None));
    let bad = [
        ("9464", "is a port without an address"),
        (":9464", "has no address before the port"),
        ("0.0.0.0", "is an address without a port"),
        ("::", "has no address before the port"),
        ("localhost:9464", "is not an IP address with a port"),
        ("0.0.0.0:65536", "is not an IP address with a port"),
    ];
    for (text, complaint) in bad {
        assert_eq!(admin_addr(text).unwrap_err().what, complaint, "{text}");
    }
}
