//! Complete environments and the resulting configurations.

use std::io;

use super::*;
use crate::config::testing::{good, on, told as faults, with_args};
use crate::config::{GROUPS, Preset, Source, show};
use crate::model::Sig;
use crate::policy::follow::PercentRule;
use crate::policy::{Bytes, CpuBudget, Instances, Share, SignalAction, SignalTable};

#[test]
fn nothing_set_is_a_good_configuration() {
    let resolved = good(&[]);
    assert_eq!(resolved.warnings, [""; 0]);
    // Each of these has a test of its documented defaults in its module; a new group needs one as well.
    let crate::config::Config {
        program: _,
        follow,
        ports: _,
        node: _,
        life: _,
        reload: _,
        health: _,
        signals: _,
        log: _,
        admin: _,
        control: _,
    } = resolved.config;
    assert_eq!(follow, None);
    assert_eq!(
        resolved.lines[0],
        Line {
            name: "RPM_COMMAND",
            value: "/usr/bin/node app.js".to_owned(),
            source: Source::CommandLine,
            note: None,
        }
    );
}

#[test]
fn the_table_holds_what_the_code_does() {
    let lines = good(&[]).lines;
    for (setting, line) in settings().zip(&lines) {
        match setting.default() {
            Preset::Text(text) => assert_eq!(line.value, text, "{}", setting.name()),
            Preset::Unset if setting.name() != "RPM_COMMAND" => {
                assert_eq!(line.value, show::NOTHING, "{}", setting.name());
            }
            _ => {}
        }
    }
    let mut names: Vec<&str> = settings().map(Definition::name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "no name stands in the table twice");
    assert!(!GROUPS.is_empty());
    for name in names {
        // Kubernetes adds such names for a Service.
        assert!(
            !name.ends_with("_PORT") && !name.ends_with("_HOST"),
            "{name}"
        );
    }
}

#[test]
fn what_check_shows_can_be_given_again() {
    let environments: [&[(&str, &str)]; 8] = [
        &[],
        &[("RPM_RESTART", "never")],
        &[
            ("RPM_INSTANCES", "max"),
            ("RPM_APP_NAME", "web"),
            ("RPM_INSTANCE_VAR", "SLOT"),
            ("RPM_INCREMENT_VAR", "DEBUG_PORT"),
            ("RPM_PORTS", "3000, 127.0.0.1:8080,[::1]:8443"),
            ("RPM_HANDOVER", "activation"),
            ("RPM_BALANCE", "hash"),
            ("RPM_BACKLOG", "128"),
            ("RPM_READY", "delay:1500ms"),
            ("RPM_READY_TIMEOUT", "120s"),
            ("RPM_STOP_SIGNAL", "SIGQUIT"),
            ("RPM_STOP_TIMEOUT", "0"),
            ("RPM_SHUTDOWN_DELAY", "5s"),
            ("RPM_APP_METRICS", ":8443/Metrics?x=1"),
        ],
        &[
            ("RPM_RESTART", "on-failure"),
            ("RPM_STOP_EXIT_CODES", "3,2"),
            ("RPM_MIN_UPTIME", "90s"),
            ("RPM_MAX_RESTARTS", "0"),
            ("RPM_BACKOFF_MIN", "1ms"),
            ("RPM_BACKOFF_MAX", "24h"),
            ("RPM_SIGNALS", "TERM=stop,USR2=forward:RTMIN+3,*=ignore"),
            ("RPM_SIGNAL_SCOPE", "group"),
            ("RPM_EXIT_OK", "143"),
            ("RPM_PDEATHSIG", "off"),
        ],
        &[
            ("RPM_EXEC_MODE", "fork"),
            ("RPM_LOG_FORMAT", "inherit"),
            ("RPM_LOG_LEVEL", "trace"),
            ("RPM_APP_METRICS", "MultiProc"),
            ("RPM_APP_METRICS_INTERVAL", "0"),
            ("RPM_ADMIN_ADDR", "[::1]:80"),
            ("RPM_TERMINATION_LOG", "/tmp/end"),
        ],
        &[
            ("RPM_INSTANCES", "max"),
            ("RPM_BALANCE", "cpu"),
            ("RPM_READY", "notify"),
            ("RPM_ENV_FILE", "/run/env"),
            ("RPM_DRAIN_TIMEOUT", "0"),
            ("RPM_RELOAD_SURGE", "150%"),
            ("RPM_RELOAD_UNAVAILABLE", "25%"),
            ("RPM_MIN_READY", "90s"),
            ("RPM_MAX_MEMORY", "400M"),
            ("RPM_CRON_RELOAD", " 0  4 * *  MON-FRI"),
            ("RPM_WATCH", "/etc/app, src,/etc/app"),
            ("RPM_WATCH_IGNORE", "*.log,cache/**"),
            ("RPM_WATCH_DELAY", "250ms"),
        ],
        &[
            ("RPM_READY", "http::8443/ready?x=1"),
            ("RPM_RELOAD_SURGE", "0"),
            ("RPM_MAX_MEMORY", "80%"),
            ("RPM_HEALTH", "HTTP:/Healthz"),
            ("RPM_HEALTH_INTERVAL", "1m"),
            ("RPM_HEALTH_TIMEOUT", "500ms"),
            ("RPM_HEALTH_FAILURES", "1"),
            ("RPM_SIGNALS", "HUP=ignore,USR2=reload,TTIN=scale-down"),
        ],
        &[
            ("RPM_BALANCE", "source"),
            ("RPM_HEALTH", "tcp:9000"),
            ("RPM_APP_METRICS", "/metrics"),
            ("RPM_APP_METRICS_GAUGES", "a*=SUM, b = worker"),
            ("RPM_APP_METRICS_INTERVAL", "90s"),
        ],
    ];
    for vars in environments {
        let first = good(vars);
        let again: Vec<(&str, &str)> = first
            .lines
            .iter()
            .filter(|line| line.value != show::NOTHING)
            // These must not be set while no port is shared.
            .filter(|line| first.config.shares_ports() || line.name != "RPM_HANDOVER")
            .map(|line| (line.name, line.value.as_str()))
            .collect();
        // It shows what `max` and a percentage come to, and a number does not follow.
        let mut second = with_args(&[], &again).unwrap().config;
        second.follow = first.config.follow;
        assert_eq!(second, first.config);
    }
}

#[test]
fn the_role_of_tini_is_taken_when_nothing_else_is_said() {
    let never = ("RPM_RESTART", "never");
    let config = good(&[never]).config;
    assert_eq!(config.program.exec_mode, ExecMode::Fork);
    assert_eq!(config.signals.actions, SignalTable::one_shot());
    assert!(!config.shares_ports());
    for more in [
        ("RPM_INSTANCES", "2"),
        ("RPM_PORTS", "auto"),
        ("RPM_EXEC_MODE", "cluster"),
    ] {
        assert_eq!(
            good(&[never, more]).config.program.exec_mode,
            ExecMode::Cluster,
            "{more:?}"
        );
    }
    let signals = good(&[never, ("RPM_SIGNALS", "TERM=stop")])
        .config
        .signals
        .actions;
    assert_eq!(signals.action(Sig::TERM), SignalAction::Stop);
    assert_eq!(signals.action(Sig::HUP), SignalAction::Forward);
}

#[test]
fn instances_by_cpus() {
    let resolved = good(&[("RPM_INSTANCES", "max-1")]);
    assert_eq!(resolved.config.program.instances.get(), 2);
    let lines = &resolved.lines;
    let line = lines.iter().find(|line| line.name == "RPM_INSTANCES");
    let line = line.unwrap();
    assert_eq!(
        line.note.as_deref(),
        Some("cgroup quota 2.5 CPUs (rounded up to 3), affinity 8 -> 3, less 1 -> 2")
    );
    assert_eq!(line.source, Source::Environment);
}

#[test]
fn what_follows_limits_that_change() {
    let follow = |vars: &[(&str, &str)]| good(vars).config.follow;
    let max = ("RPM_INSTANCES", "max-1");
    let rule = follow(&[max]).unwrap();
    assert_eq!(rule.instances, Instances::Max { less: 1 });
    assert_eq!(
        (rule.workers.get(), rule.room, rule.percent),
        (2, None, None)
    );

    let size = ("RPM_MAX_MEMORY", "100Mi");
    let room = follow(&[max, size]).unwrap().room;
    assert_eq!(room, Some((Bytes(100 << 20), Share::Number(1))));

    let percent = ("RPM_MAX_MEMORY", "50%");
    let expected = Some(PercentRule {
        percent: 50,
        limit: 1 << 30,
        each: Bytes(256 << 20),
    });
    assert_eq!(follow(&[max, percent]).unwrap().percent, expected);
    // A plain number stays, and so does that of a job.
    for vars in [
        [("RPM_INSTANCES", "2"), percent, ("RPM_RESTART", "always")],
        [max, percent, ("RPM_RESTART", "never")],
    ] {
        let rule = follow(&vars).unwrap();
        assert!(!rule.counts(), "{vars:?}");
        assert_eq!(rule.percent, expected, "{vars:?}");
    }

    let off = ("RPM_INSTANCES_FOLLOW", "false");
    for vars in [
        &[off, max, percent][..],
        &[("RPM_INSTANCES", "4"), size],
        &[max, size, ("RPM_RESTART", "never")],
    ] {
        assert_eq!(follow(vars), None, "{vars:?}");
    }
    let warnings = |vars: &[(&str, &str)]| good(vars).warnings;
    assert_eq!(warnings(&[off, max]), [""; 0]);
    assert_eq!(
        warnings(&[("RPM_INSTANCES_FOLLOW", "true")]),
        [
            "RPM_INSTANCES_FOLLOW has no effect without RPM_INSTANCES=max or a percentage in RPM_MAX_MEMORY, or with RPM_RESTART=never"
        ]
    );
}

#[test]
fn max_with_a_cpu_limit_that_cannot_be_seen_is_told() {
    let warnings = |hidden, quota_milli| {
        let cpus = CpuBudget {
            quota_milli,
            affinity: Some(4),
            online: Some(8),
            hidden,
            ..CpuBudget::default()
        };
        let input = Input {
            vars: vec![("RPM_INSTANCES".into(), "max".into())],
            args: vec!["true".into()],
            cpus,
            memory: None,
            read_file: &|_| Err(io::Error::from_raw_os_error(2)),
            found: &crate::model::Found::default,
        };
        resolve(&input).unwrap().warnings
    };
    let told = warnings(true, None);
    let said = "RPM_INSTANCES=max counts all CPUs that it may run on: 4 workers";
    assert!(told.len() == 1 && told[0].contains(said), "{told:?}");
    assert_eq!(warnings(true, Some(1500)), [""; 0]);
    assert_eq!(warnings(false, None), [""; 0]);
}

#[test]
fn max_without_a_cpu_limit_is_told_with_its_number() {
    let warnings = |instances: &str, quota| {
        let vars = [("RPM_INSTANCES", instances)];
        let resolved = on(&["true"], &vars, quota, None);
        resolved.unwrap().warnings
    };
    let told = warnings("max-1", None);
    assert_eq!(told.len(), 1);
    let start =
        "no CPU limit is set, so RPM_INSTANCES=max-1 counts all CPUs of this machine: 7 workers; ";
    assert!(told[0].starts_with(start), "{}", told[0]);
    for (instances, quota) in [
        ("max", Some(2500)),
        ("8", None),
        ("max-7", None),
        ("max", Some(8000)),
    ] {
        assert_eq!(warnings(instances, quota), [""; 0], "{instances} {quota:?}");
    }
}

#[test]
fn rules_between_settings_hold_at_their_edges() {
    let fork = ("RPM_EXEC_MODE", "fork");
    for vars in [
        &[("RPM_BACKOFF_MIN", "15s")][..],
        &[("RPM_READY", "delay:29999ms")],
        &[("RPM_HANDOVER", "activation"), ("RPM_PORTS", "80")],
        &[fork, ("RPM_PORTS", "off"), ("RPM_READY", "delay:1s")],
        &[fork, ("RPM_PORTS", "auto")],
        &[("RPM_PORTS", "9464"), ("RPM_ADMIN_ADDR", "off")],
        &[("RPM_LOG_FORMAT", "inherit"), ("RPM_INSTANCES", "4")],
        &[fork, ("RPM_READY", "notify")],
        &[fork, ("RPM_HEALTH", "off")],
        &[("RPM_PORTS", "80,81"), ("RPM_HEALTH", "tcp:81")],
        &[("RPM_PORTS", "80,81"), ("RPM_READY", "http::81/")],
        &[("RPM_RELOAD_UNAVAILABLE", "4"), ("RPM_INSTANCES", "4")],
        &[("RPM_RELOAD_UNAVAILABLE", "100%")],
    ] {
        good(vars);
    }
    for vars in [
        &[("RPM_BACKOFF_MIN", "15001ms")][..],
        &[("RPM_BACKOFF_MAX", "99ms")],
        &[("RPM_READY", "delay:30s")],
        &[fork, ("RPM_MIN_UPTIME", "30s")],
        &[fork, ("RPM_PORTS", "80")],
        &[fork, ("RPM_HANDOVER", "auto")],
        &[fork, ("RPM_READY", "tcp")],
        &[fork, ("RPM_READY", "http:/")],
        &[fork, ("RPM_HEALTH", "accept")],
        &[("RPM_PORTS", "off"), ("RPM_HEALTH", "http:/")],
        &[("RPM_RELOAD_SURGE", "0"), ("RPM_RELOAD_UNAVAILABLE", "0%")],
        &[("RPM_RELOAD_SURGE", "0%"), ("RPM_RELOAD_UNAVAILABLE", "0")],
        &[("RPM_RELOAD_UNAVAILABLE", "5"), ("RPM_INSTANCES", "4")],
        &[("RPM_PORTS", "off"), ("RPM_READY", "listen")],
        &[("RPM_HANDOVER", "activation")],
        &[("RPM_PORTS", "80"), ("RPM_HEALTH", "tcp:81")],
        &[("RPM_PORTS", "80"), ("RPM_READY", "http::81/")],
        &[("RPM_HEALTH", "http::9464/healthz")],
        &[("RPM_PORTS", "127.0.0.1:9464")],
        &[("RPM_INSTANCE_VAR", "N"), ("RPM_INCREMENT_VAR", "N")],
    ] {
        assert_eq!(faults(vars).len(), 1, "{vars:?}");
    }
}

#[test]
fn a_signal_must_be_left_that_stops() {
    let warnings = |signals| good(&[("RPM_SIGNALS", signals)]).warnings.len();
    assert_eq!(warnings("*=ignore"), 1);
    assert_eq!(warnings("*=ignore,TERM=stop"), 0);
}

#[test]
fn every_setting_refuses_nonsense_and_all_are_told_in_order() {
    let vars: Vec<(&str, &str)> = settings()
        .map(|setting| (setting.name(), "\u{1}'"))
        .collect();
    let told = with_args(&[], &vars).unwrap_err().faults;
    let names: Vec<&str> = told.iter().map(|fault| fault.name.as_str()).collect();
    let expected: Vec<&str> = settings().map(Definition::name).collect();
    assert_eq!(names, expected);
}

#[test]
fn a_health_check_needs_its_address_only() {
    let input = |vars: &[(&str, &str)]| {
        let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
        admin_addr(&Input {
            vars: vars.collect(),
            args: vec![],
            cpus: CpuBudget::default(),
            memory: None,
            read_file: &|_| Err(io::Error::from_raw_os_error(2)),
            found: &crate::model::Found::default,
        })
    };
    assert_eq!(input(&[]), Ok(Some("[::]:9464".parse().unwrap())));
    assert_eq!(
        input(&[("RPM_ADMIN_ADDR", "off"), ("RPM_READY", "x")]),
        Ok(None)
    );
    let told = input(&[("RPM_ADMIN_ADDR", "x"), ("RPM_LOG_RING", "x")]).unwrap_err();
    assert_eq!(told.faults.len(), 1);
    assert_eq!(
        input(&[("RPM_ADMIN_ADDR_FILE", "/x")])
            .unwrap_err()
            .faults
            .len(),
        1
    );
}
