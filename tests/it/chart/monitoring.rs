//! What Prometheus and Grafana get.

use std::fs;

use serde_json::{Value, json};

use super::helm::{CHART, Render};
use crate::harness::source;

fn monitor(kind: &str, field: &str) -> (Value, Value) {
    let switch = format!("{}{}", kind[..1].to_lowercase(), &kind[1..]);
    let rendered = Render::with(&format!(
        "{switch}: {{enabled: true, namespace: monitoring, labels: {{release: prom}}, interval: 15s, scrapeTimeout: 10s, \
         metricRelabelings: [{{action: drop, regex: go_.*, sourceLabels: [__name__]}}]}}"
    ))
    .objects();
    let object = rendered.one(kind);
    assert_eq!(object["metadata"]["namespace"], "monitoring");
    assert_eq!(object["metadata"]["labels"]["release"], "prom");
    assert_eq!(
        object["spec"]["namespaceSelector"],
        json!({"matchNames": ["shop"]})
    );
    assert_eq!(
        object["spec"][field],
        json!([{
            "port": "admin", "path": "/metrics", "interval": "15s", "scrapeTimeout": "10s",
            "metricRelabelings": [{"action": "drop", "regex": "go_.*", "sourceLabels": ["__name__"]}]
        }])
    );
    let target = match kind {
        "PodMonitor" => rendered.one("Deployment")["spec"]["template"].clone(),
        _ => rendered.get("Service", "-admin").unwrap().clone(),
    };
    (
        object["spec"]["selector"]["matchLabels"].clone(),
        target["metadata"]["labels"].clone(),
    )
}

#[test]
fn monitors_select_what_they_shall_scrape() {
    for (kind, field) in [
        ("PodMonitor", "podMetricsEndpoints"),
        ("ServiceMonitor", "endpoints"),
    ] {
        let (wanted, labels) = monitor(kind, field);
        let wanted = wanted.as_object().unwrap();
        assert!(wanted.len() >= 2, "{kind}");
        for (name, value) in wanted {
            assert_eq!(labels[name], *value, "{kind} {name}");
        }
    }
    // The ServiceMonitor must not select the Service of the program: the port `admin` is not there.
    let (wanted, _) = monitor("ServiceMonitor", "endpoints");
    let rendered = Render::with("ports: {http: {port: 3000}}").objects();
    let program = &rendered.get("Service", "").unwrap()["metadata"]["labels"];
    assert!(
        wanted
            .as_object()
            .unwrap()
            .iter()
            .any(|(name, value)| program[name] != *value)
    );
}

#[test]
fn the_prometheus_rule_has_the_alerts_of_the_file() {
    let rendered = Render::with("prometheusRule: {enabled: true, disabled: [RpmOomKill], alertLabels: {team: shop, severity: page}}").objects();
    let rules = &rendered.one("PrometheusRule")["spec"]["groups"][0]["rules"];
    let file = fs::read_to_string(source(CHART).join("alerts/rpm-runtime.rules.yaml")).unwrap();
    let alerts = file
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let kept: Vec<&str> = alerts.filter(|alert| *alert != "RpmOomKill").collect();
    let rendered: Vec<&str> = rules
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["alert"].as_str().unwrap())
        .collect();
    assert_eq!(rendered, kept);
    assert!(file.contains("- alert: RpmOomKill"));
    assert_eq!(
        rules[0]["labels"],
        json!({"team": "shop", "severity": "page"})
    );
    // Templates of Prometheus are not those of helm.
    let description = rules[0]["annotations"]["description"].as_str().unwrap();
    assert!(
        description.starts_with("{{ $labels.instance }} has had"),
        "{description}"
    );
}

/// Otherwise two releases would tell of each other's pods.
#[test]
fn alerts_are_those_of_the_release() {
    let expressions = |values: &str| -> Vec<String> {
        let rendered = Render::with(values).objects();
        let rules = rendered.one("PrometheusRule")["spec"]["groups"][0]["rules"].clone();
        let rules = rules.as_array().unwrap().iter();
        rules
            .map(|rule| rule["expr"].as_str().unwrap().to_owned())
            .collect()
    };
    let own = expressions("prometheusRule: {enabled: true}");
    let all = expressions("prometheusRule: {enabled: true, allReleases: true}");
    assert_eq!(all[0], "rpm_ready == 0");
    let matchers = r#"namespace="shop",pod=~"rel-rpm-runtime-[a-z0-9]+(-[a-z0-9]+)?""#;
    for (own, all) in own.iter().zip(&all) {
        assert_eq!(
            own.matches("rpm_").count(),
            own.matches(matchers).count(),
            "{own}"
        );
        let without = own.replace(&format!("{{{matchers}}}"), "");
        assert_eq!(without.replace(&format!("{matchers},"), ""), *all);
    }
}

#[test]
fn the_dashboard_is_the_file() {
    let rendered = Render::with("dashboard: {enabled: true, namespace: grafana, labels: {grafana_dashboard: null, board: 'yes'}}").objects();
    // Releases of the same name in two namespaces may both put one there.
    let map = rendered.one("ConfigMap");
    assert_eq!(map["metadata"]["name"], "shop-rel-rpm-runtime-dashboard");
    let own = Render::with("dashboard: {enabled: true}").objects();
    assert!(own.get("ConfigMap", "-dashboard").is_some());
    assert_eq!(map["metadata"]["namespace"], "grafana");
    let labels = &map["metadata"]["labels"];
    assert_eq!(labels["board"], "yes");
    assert!(labels["grafana_dashboard"].is_null());
    let shown: Value =
        serde_json::from_str(map["data"]["rpm-runtime.json"].as_str().unwrap()).unwrap();
    let file = fs::read_to_string(source(CHART).join("dashboards/rpm-runtime.json")).unwrap();
    assert_eq!(shown, serde_json::from_str::<Value>(&file).unwrap());
}
