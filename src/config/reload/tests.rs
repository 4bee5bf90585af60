//! Defaults that depend on other settings, and their lines in --check.

use super::*;
use crate::config::Resolved;
use crate::config::testing::{line, on};

/// Variables, and the resulting surge and number of missing workers.
type Row<'a> = (&'a [(&'a str, &'a str)], u16, u16);

fn good(vars: &[(&str, &str)]) -> Resolved {
    on(&["true"], vars, None, Some(1 << 30)).unwrap()
}

fn told(memory: Option<u64>, vars: &[(&str, &str)]) -> Vec<String> {
    let faults = on(&["true"], vars, None, memory).unwrap_err().faults;
    faults.iter().map(ToString::to_string).collect()
}

fn note(resolved: &Resolved, name: &str) -> Option<String> {
    line(resolved, name).1
}

#[test]
fn nothing_set_is_the_documented_default() {
    let expected = Reload {
        surge: Share::Number(1),
        unavailable: Share::Number(0),
        min_ready: Duration::from_secs(1),
        max_memory: None,
        cron: None,
        watch: Watch {
            paths: vec![],
            ignore: ignore::ignore(".git,node_modules").unwrap(),
            delay: Duration::from_secs(1),
        },
    };
    assert_eq!(good(&[]).config.reload, expected);
}

#[test]
fn surge_and_unavailable_follow_from_each_other_and_from_sharing() {
    let fork = ("RPM_EXEC_MODE", "fork");
    let surge = |text| ("RPM_RELOAD_SURGE", text);
    let unavailable = |text| ("RPM_RELOAD_UNAVAILABLE", text);
    let table: [Row<'_>; 12] = [
        (&[], 1, 0),
        (&[surge("0")], 0, 1),
        (&[surge("0%")], 0, 1),
        (&[surge("3")], 3, 0),
        (&[unavailable("1")], 1, 1),
        (&[unavailable("0")], 1, 0),
        (&[fork], 0, 1),
        (&[("RPM_PORTS", "off")], 0, 1),
        (&[("RPM_RESTART", "never")], 0, 1),
        (&[fork, surge("1")], 1, 0),
        (&[fork, unavailable("1")], 0, 1),
        (&[fork, unavailable("0")], 1, 0),
    ];
    for (vars, surge, unavailable) in table {
        let resolved = good(vars);
        let number = |share| match share {
            Share::Number(count) | Share::Percent(count) => count,
        };
        let got = (
            number(resolved.config.reload.surge),
            number(resolved.config.reload.unavailable),
        );
        assert_eq!(got, (surge, unavailable), "{vars:?}");
        let given = |name| vars.iter().any(|(given, _)| *given == name);
        assert_eq!(
            note(&resolved, "RPM_RELOAD_SURGE").is_some(),
            surge == 0 && !given("RPM_RELOAD_SURGE"),
            "{vars:?}"
        );
        assert_eq!(
            note(&resolved, "RPM_RELOAD_UNAVAILABLE").is_some(),
            unavailable == 1 && !given("RPM_RELOAD_UNAVAILABLE"),
            "{vars:?}"
        );
    }
}

#[test]
fn memory_bounds_max_and_nothing_else() {
    let size = ("RPM_MAX_MEMORY", "128Mi");
    let instances = |more: &[(&str, &str)]| {
        let mut vars = vec![("RPM_INSTANCES", "max"), size];
        vars.extend(more);
        good(&vars).config.program.instances.get()
    };
    assert_eq!(instances(&[]), 7);
    assert_eq!(instances(&[("RPM_RELOAD_SURGE", "0")]), 8);
    assert_eq!(instances(&[("RPM_RELOAD_SURGE", "4")]), 4);
    assert_eq!(instances(&[("RPM_RELOAD_SURGE", "100%")]), 4);
    assert_eq!(instances(&[("RPM_RELOAD_SURGE", "64")]), 1);
    assert_eq!(instances(&[("RPM_EXEC_MODE", "fork")]), 8);
    assert_eq!(instances(&[("RPM_PORTS", "off")]), 8);
    let max = ("RPM_INSTANCES", "max");
    let unlimited = on(&["true"], &[max, size], None, None).unwrap();
    assert_eq!(unlimited.config.program.instances.get(), 8);
    let capped = good(&[max, size]);
    assert_eq!(
        note(&capped, "RPM_INSTANCES").as_deref(),
        Some("affinity 8 -> 8, memory limit 1Gi for workers of 128Mi and 1 more in a reload -> 7")
    );
    assert_eq!(
        good(&[("RPM_INSTANCES", "8"), size])
            .config
            .program
            .instances
            .get(),
        8
    );
}

#[test]
fn a_number_of_workers_that_has_no_room_is_a_warning() {
    let size = ("RPM_MAX_MEMORY", "300Mi");
    let warnings = |count| good(&[("RPM_INSTANCES", count), size]).warnings;
    assert_eq!(warnings("3"), [""; 0]);
    assert_eq!(
        warnings("4"),
        [
            "RPM_MAX_MEMORY (300Mi) times 4 workers is more than the memory limit (1Gi): \
          the kernel may kill before a worker is replaced"
        ]
    );
}

#[test]
fn a_percentage_is_of_each_workers_share() {
    let part = ("RPM_MAX_MEMORY", "50%");
    let resolved = good(&[part, ("RPM_INSTANCES", "max")]);
    assert_eq!(resolved.config.program.instances.get(), 8);
    assert_eq!(resolved.config.reload.max_memory, Some(Bytes(64 << 20)));
    assert_eq!(
        note(&resolved, "RPM_MAX_MEMORY").as_deref(),
        Some("50% of memory limit 1Gi for 8 workers")
    );
    assert_eq!(
        told(None, &[part]),
        [
            "RPM_MAX_MEMORY=\"50%\": is a part of the memory limit, and there is none that can be seen; \
             accepted: a size such as 300Mi, or a container with a memory limit"
        ]
    );
}

#[test]
fn what_belongs_to_something_that_is_off_is_told() {
    let warnings = |vars: &[(&str, &str)]| good(vars).warnings;
    let delay = ("RPM_WATCH_DELAY", "2s");
    let ignore = ("RPM_WATCH_IGNORE", "x");
    assert_eq!(
        warnings(&[delay, ignore]),
        [
            "RPM_WATCH_IGNORE has no effect without RPM_WATCH",
            "RPM_WATCH_DELAY has no effect without RPM_WATCH"
        ]
    );
    assert_eq!(warnings(&[delay, ignore, ("RPM_WATCH", "x")]), [""; 0]);
    let timeout = ("RPM_HEALTH_TIMEOUT", "1s");
    let text = "RPM_HEALTH_TIMEOUT has no effect without RPM_HEALTH";
    assert_eq!(warnings(&[timeout]), [text]);
    assert_eq!(warnings(&[timeout, ("RPM_HEALTH", "off")]), [text]);
    assert_eq!(warnings(&[timeout, ("RPM_HEALTH", "tcp")]), [""; 0]);
}

#[test]
fn watched_paths() {
    let paths = good(&[("RPM_WATCH", "/etc/app, src,, src")])
        .config
        .reload
        .watch
        .paths;
    assert_eq!(paths, ["/etc/app", "src"].map(std::path::PathBuf::from));
    let many: Vec<String> = (0..65).map(|n| format!("p{n}")).collect();
    let many = many.join(",");
    for (text, what) in [
        (" , ", "names no path"),
        (
            "a\nb",
            "\"a\\nb\" holds a control character or a line break",
        ),
        (many.as_str(), "names 65 paths, more than 64"),
    ] {
        let told = told(None, &[("RPM_WATCH", text)]);
        assert!(told[0].contains(what), "{told:?}");
    }
}

#[test]
fn somebody_can_always_be_replaced() {
    let four = ("RPM_INSTANCES", "4");
    for vars in [
        &[("RPM_RELOAD_UNAVAILABLE", "4"), four][..],
        &[("RPM_RELOAD_UNAVAILABLE", "100%")],
    ] {
        good(vars);
    }
    for vars in [
        [("RPM_RELOAD_SURGE", "0"), ("RPM_RELOAD_UNAVAILABLE", "0%")],
        [("RPM_RELOAD_SURGE", "0%"), ("RPM_RELOAD_UNAVAILABLE", "0")],
        [("RPM_RELOAD_UNAVAILABLE", "5"), four],
    ] {
        assert_eq!(told(None, &vars).len(), 1, "{vars:?}");
    }
}
