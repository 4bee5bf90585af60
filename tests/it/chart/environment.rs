//! What the chart renders is what the runtime takes.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::process::Command;

use super::helm::{Objects, Render, all_files, run, text};
use crate::harness::scratch;
use rpm_runtime::config::{Definition, settings};

/// Output of `rpm-runtime --check` in the environment of the rendered container. No warning is given but that of a machine
/// without limits.
#[track_caller]
fn checked(objects: &Objects) -> String {
    let app = objects.app();
    let mut runtime = Command::new(env!("CARGO_BIN_EXE_rpm-runtime"));
    runtime.arg("--check");
    match app["args"].as_array() {
        Some(args) => runtime.args(args.iter().map(|word| word.as_str().unwrap())),
        None if objects.variable("RPM_COMMAND").is_some() => &mut runtime,
        // What the image's CMD would be.
        None => runtime.arg("true"),
    };
    runtime
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap());
    for entry in app["env"].as_array().unwrap() {
        if let Some(value) = entry["value"].as_str() {
            runtime.env(entry["name"].as_str().unwrap(), value);
        }
    }
    let output = run(&mut runtime, "");
    let said = String::from_utf8_lossy(&output.stderr);
    for line in said.lines() {
        assert!(line.contains("no CPU limit is set"), "{said}");
    }
    text(&output)
}

#[test]
fn the_runtime_takes_what_every_file_of_values_renders() {
    let file = scratch("chart-environment").join("env");
    fs::write(&file, "A=1\n").unwrap();
    for values in all_files() {
        let mut render = Render::of(&values);
        if values.contains("every-variable") {
            render = render.and(&format!("runtime: {{RPM_ENV_FILE: {}}}", file.display()));
        }
        let objects = render.objects();
        let said = checked(&objects);
        // Both calculate how long a stop may take.
        let (_, rest) = said.split_once("terminationGracePeriodSeconds: ").unwrap();
        let needed: u64 = rest.split(' ').next().unwrap().parse().unwrap();
        let granted = objects.pod()["terminationGracePeriodSeconds"]
            .as_u64()
            .unwrap();
        if values.contains("worker") {
            assert_eq!((needed, granted), (35, 45), "the file says 45");
        } else {
            assert_eq!(granted, needed.max(30), "{values}");
        }
    }
}

#[test]
fn every_variable_can_be_set_in_the_values() {
    let rendered = Render::of("charts/rpm-runtime/ci/every-variable-values.yaml").objects();
    let env = rendered.app()["env"].as_array().unwrap();
    let set: BTreeSet<&str> = env
        .iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    let known: BTreeSet<&str> = settings().map(Definition::name).collect();
    assert_eq!(set, known);
}

#[test]
fn a_value_becomes_the_text_that_the_runtime_reads() {
    let rendered = Render::with(
        "runtime: {RPM_NODE: off, RPM_NODE_INTERCOM: on, RPM_STOP_MESSAGE: true, RPM_LOG_COMPRESS: false, RPM_MAX_RESTARTS: \
         1000000, RPM_EXIT_OK: [143, 130], RPM_DRAIN_TIMEOUT: 0, RPM_SIGNALS: [USR2=forward, '*=ignore'], RPM_APP_VERSION: '1.10', \
         RPM_HEALTH: null, RPM_READY_FILE: /run/ready, RPM_SHUTDOWN_DELAY: null, RPM_LOG_RING: '0'}",
    );
    let rendered = rendered.objects();
    let expected = [
        ("RPM_NODE", Some("off")),
        ("RPM_NODE_INTERCOM", Some("on")),
        ("RPM_STOP_MESSAGE", Some("true")),
        ("RPM_LOG_COMPRESS", Some("false")),
        ("RPM_MAX_RESTARTS", Some("1000000")),
        ("RPM_EXIT_OK", Some("143,130")),
        ("RPM_DRAIN_TIMEOUT", Some("0")),
        ("RPM_SIGNALS", Some("USR2=forward,*=ignore")),
        ("RPM_APP_VERSION", Some("1.10")),
        ("RPM_HEALTH", None),
        ("RPM_READY_FILE", Some("/run/ready")),
        ("RPM_SHUTDOWN_DELAY", None),
        ("RPM_PORTS", Some("off")),
        ("RPM_LOG_RING", Some("0")),
    ];
    for (name, value) in expected {
        assert_eq!(rendered.variable(name), value, "{name}");
    }
}

#[test]
fn listed_ports_become_rpm_ports_and_none_means_off() {
    let ports = |values: &str| {
        let rendered = Render::with(values).objects();
        rendered.variable("RPM_PORTS").unwrap().to_owned()
    };
    let cases = [
        ("ports: {}", "off"),
        ("ports: {http: {port: 3000}}", "3000"),
        (
            "ports: {api: {port: 8080}, http: {port: 3000}, dns: {port: 53, protocol: UDP}, own: {port: 9, shared: false}}",
            "3000,8080,udp:53",
        ),
        ("ports: {own: {port: 9229, shared: false}}", "off"),
        (
            "{ports: {http: {port: 3000}}, runtime: {RPM_PORTS: auto}}",
            "auto",
        ),
        (
            "{ports: {http: {port: 3000}}, runtime: {RPM_PORTS: [3000, 'unix:/tmp/app.sock']}}",
            "3000,unix:/tmp/app.sock",
        ),
    ];
    for (values, expected) in cases {
        assert_eq!(ports(values), expected, "{values}");
    }
}

#[test]
fn variables_of_the_program_keep_their_text() {
    let rendered = Render::with(
        "env: {A: 1500000, B: false, C: 1.5, D: '{{ .Release.Name }}', E: null, F: {valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}}",
    );
    let rendered = rendered.objects();
    assert_eq!(rendered.variable("A"), Some("1500000"));
    assert_eq!(rendered.variable("B"), Some("false"));
    assert_eq!(rendered.variable("C"), Some("1.5"));
    assert_eq!(rendered.variable("D"), Some("rel"));
    assert_eq!(rendered.variable("E"), None);
    let env = rendered.app()["env"].as_array().unwrap();
    let node = env.iter().find(|entry| entry["name"] == "F").unwrap();
    assert_eq!(node["valueFrom"]["fieldRef"]["fieldPath"], "spec.nodeName");
}
