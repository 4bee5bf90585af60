//! What others say of the chart: helm's lint, the schemas of Kubernetes and of custom resources, promtool.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::helm::{CHART, Render, all_files, ci_files, custom, helm, objects, python, run, text};
use crate::harness::{scratch, source};

#[test]
fn every_file_of_values_passes_the_strict_lint() {
    let lint = |more: &[&str]| {
        let words = [&["lint", "--strict", CHART], more].concat();
        let said = text(&run(&mut helm(&words), ""));
        assert!(
            said.contains("1 chart(s) linted, 0 chart(s) failed"),
            "{said}"
        );
        assert!(!said.contains("[WARNING]"), "{said}");
    };
    lint(&[]);
    for file in all_files() {
        lint(&["--values", &file]);
    }
}

#[test]
fn kubernetes_1_25_1_30_and_the_newest_take_every_object() {
    let mut kinds = BTreeSet::new();
    for file in all_files() {
        let all = [("1.37", "newest"), ("1.30", "1.30"), ("1.25", "1.25")];
        // The examples use nothing that the files of `ci` do not.
        let count = if file.starts_with(CHART) {
            all.len()
        } else {
            1
        };
        for (cluster, schema) in &all[..count] {
            let manifests = Render::of(&file).for_kubernetes(cluster).manifests();
            for object in objects(&manifests, &[schema]) {
                kinds.insert(object["kind"].as_str().unwrap().to_owned());
            }
        }
    }
    let expected = "ConfigMap Deployment HTTPRoute HorizontalPodAutoscaler Ingress NetworkPolicy Pod PodDisruptionBudget \
                    PodMonitor PrometheusRule Secret Service ServiceAccount ServiceMonitor";
    let expected: BTreeSet<String> = expected.split_whitespace().map(str::to_owned).collect();
    assert_eq!(kinds, expected);
}

#[test]
fn custom_resources_are_as_their_projects_publish_them() {
    let seen = ci_files()
        .into_iter()
        .map(|file| custom(&Render::of(&file).objects().0));
    assert_eq!(
        seen.sum::<usize>(),
        4,
        "PodMonitor, ServiceMonitor, PrometheusRule, HTTPRoute"
    );
}

#[test]
fn the_rules_of_the_prometheus_rule_are_what_prometheus_takes() {
    let rendered =
        Render::with("prometheusRule: {enabled: true, alertLabels: {team: shop}}").objects();
    let spec = &rendered.one("PrometheusRule")["spec"];
    let path = scratch("chart-rules").join("rules.yaml");
    // JSON is YAML.
    fs::write(&path, spec.to_string()).unwrap();
    let mut promtool = Command::new("promtool");
    let said = text(&run(promtool.args(["check", "rules"]).arg(&path), ""));
    let alerts = fs::read_to_string(source(CHART).join("alerts/rpm-runtime.rules.yaml")).unwrap();
    let count = alerts.matches("- alert: ").count();
    assert!(said.contains(&format!("{count} rules found")), "{said}");
}

#[test]
fn the_readme_and_the_schema_are_what_the_definitions_say() {
    let output = run(&mut python(&["charts/reference.py", "--check"]), "");
    text(&output);
}

#[test]
fn the_chart_has_the_version_of_the_runtime() {
    let chart = fs::read_to_string(source(CHART).join("Chart.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        chart.contains(&format!("\nversion: {version}\n")),
        "{chart}"
    );
    assert!(
        chart.contains(&format!("\nappVersion: \"{version}\"\n")),
        "{chart}"
    );
}
