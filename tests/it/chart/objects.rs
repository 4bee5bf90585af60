//! The objects around the Deployment.

use std::fs;

use serde_json::{Value, json};

use super::helm::Render;
use crate::harness::source;

const PORTS: &str = "ports: {api: {port: 8080}, http: {port: 3000, servicePort: 80, appProtocol: http}, dns: {port: 53, protocol: UDP}}";

#[test]
fn the_service_has_the_ports_of_the_program() {
    let rendered = Render::with(&format!(
        "{{{PORTS}, service: {{ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv6, IPv4]}}}}"
    ))
    .objects();
    let spec = &rendered.get("Service", "").unwrap()["spec"];
    assert_eq!(
        spec["ports"],
        json!([
            {"name": "api", "port": 8080, "targetPort": "api", "protocol": "TCP"},
            {"name": "dns", "port": 53, "targetPort": "dns", "protocol": "UDP"},
            {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}
        ])
    );
    assert_eq!(
        spec["selector"],
        rendered.one("Deployment")["spec"]["selector"]["matchLabels"]
    );
    assert_eq!(spec["ipFamilies"], json!(["IPv6", "IPv4"]));
    assert!(
        Render::with("{}").objects().get("Service", "").is_none(),
        "a Service needs a port"
    );
}

/// The port of a debugger is for who is inside of the pod.
#[test]
fn only_exposed_ports_are_published() {
    let published = |ports: &str| {
        let rendered = Render::with(&format!(
            "{{ports: {ports}, networkPolicy: {{enabled: true}}, service: {{type: LoadBalancer}}, tests: {{enabled: false}}}}"
        ))
        .objects();
        let open = |list: &Value| -> Vec<u64> {
            let list = list.as_array().cloned().unwrap_or_default();
            list.iter()
                .map(|port| port["port"].as_u64().unwrap())
                .collect()
        };
        let service = rendered.get("Service", "");
        let service = service.map(|service| open(&service["spec"]["ports"]));
        let rules = rendered.one("NetworkPolicy")["spec"]["ingress"].clone();
        let first = &rules[0]["ports"];
        let policy = (first[0]["port"] != 9464).then(|| open(first));
        assert_eq!(service, policy, "{ports}");
        for rule in rules.as_array().unwrap() {
            assert_ne!(rule["ports"], json!([]), "an empty list opens every port");
        }
        service
    };
    let debug = "{http: {port: 3000}, debug: {port: 9229, shared: false}}";
    assert_eq!(published(debug), Some(vec![3000]));
    let both = "{http: {port: 3000}, own: {port: 9000, shared: false, expose: true}}";
    assert_eq!(published(both), Some(vec![3000, 9000]));
    let inner = "{http: {port: 3000}, inner: {port: 9000, expose: false}}";
    assert_eq!(published(inner), Some(vec![3000]));
    // The container says all of its ports, and a port that is not published is shared all the same.
    let rendered = Render::with(&format!("ports: {inner}")).objects();
    assert_eq!(rendered.app()["ports"].as_array().unwrap().len(), 3);
    assert_eq!(rendered.variable("RPM_PORTS"), Some("3000,9000"));
    for none in ["{http: null}", "{debug: {port: 9229, shared: false}}", "{}"] {
        assert_eq!(published(none), None, "{none}");
    }
    let without = "{ports: {http: null}, runtime: {RPM_ADMIN_ADDR: off}}";
    assert!(Render::with(without).objects().app()["ports"].is_null());
}

#[test]
fn ingress_and_route_lead_to_the_main_port() {
    let rendered = Render::with(&format!(
        "{{{PORTS}, ingress: {{enabled: true, className: nginx, hosts: [{{host: a.example, paths: [{{}}, {{path: /api, pathType: Exact, port: api}}]}}]}}, \
         httpRoute: {{enabled: true, parentRefs: [{{name: public}}], hostnames: [a.example]}}}}"
    ))
    .objects();
    let backend =
        |port: &str| json!({"service": {"name": "rel-rpm-runtime", "port": {"name": port}}});
    let spec = &rendered.one("Ingress")["spec"];
    assert_eq!(spec["ingressClassName"], "nginx");
    assert_eq!(
        spec["rules"],
        json!([{"host": "a.example", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": backend("http")},
            {"path": "/api", "pathType": "Exact", "backend": backend("api")}
        ]}}])
    );
    assert_eq!(
        rendered.one("HTTPRoute")["spec"],
        json!({
            "parentRefs": [{"name": "public"}],
            "hostnames": ["a.example"],
            "rules": [{"backendRefs": [{"name": "rel-rpm-runtime", "port": 80}]}]
        })
    );
}

#[test]
fn the_autoscaler_looks_at_resources_and_at_the_listen_queue() {
    let rendered = Render::with(
        "{autoscaling: {enabled: true, memoryUtilization: 80, listenQueue: {averageValue: 5}}, resources: {requests: {cpu: 1, memory: 1Gi}}}",
    )
    .objects();
    let spec = &rendered.one("HorizontalPodAutoscaler")["spec"];
    let resource = |name: &str, percent: u64| json!({"type": "Resource", "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": percent}}});
    assert_eq!(
        spec["metrics"],
        json!([
            resource("cpu", 75),
            resource("memory", 80),
            {"type": "Pods", "pods": {
                "metric": {"name": "rpm_listen_queue_length"}, "target": {"type": "AverageValue", "averageValue": "5"}
            }}
        ])
    );
    assert_eq!(
        spec["scaleTargetRef"],
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "rel-rpm-runtime"})
    );
    let replicas = &rendered.one("Deployment")["spec"]["replicas"];
    assert!(
        replicas.is_null(),
        "the number would be set back at each upgrade"
    );
}

#[test]
fn the_metric_of_the_autoscaler_is_one_that_the_runtime_has() {
    let page = fs::read_to_string(source("docs/metrics.md")).unwrap();
    assert!(page.contains("`rpm_listen_queue_length`"));
}

#[test]
fn a_disruption_budget_keeps_pods() {
    let spec = |version, values: &str| {
        let rendered = Render::with(values).for_kubernetes(version).objects();
        rendered.one("PodDisruptionBudget")["spec"].clone()
    };
    let old = spec("1.25", "{}");
    assert_eq!(old["maxUnavailable"], 1);
    assert!(old["unhealthyPodEvictionPolicy"].is_null());
    let new = spec(
        "1.30",
        "podDisruptionBudget: {maxUnavailable: null, minAvailable: 50%}",
    );
    assert_eq!(new["minAvailable"], "50%");
    assert!(new["maxUnavailable"].is_null());
    assert_eq!(new["unhealthyPodEvictionPolicy"], "AlwaysAllow");
}

#[test]
fn only_the_scraper_and_the_test_reach_the_admin_port() {
    let rendered =
        Render::with(&format!("{{{PORTS}, networkPolicy: {{enabled: true}}}}")).objects();
    let spec = &rendered.one("NetworkPolicy")["spec"];
    assert_eq!(spec["policyTypes"], json!(["Ingress"]));
    let test = &rendered.one("Pod")["metadata"]["labels"];
    let name = json!({"app.kubernetes.io/name": test["app.kubernetes.io/name"], "app.kubernetes.io/instance": "rel"});
    assert_eq!(
        spec["ingress"],
        json!([
            {"ports": [
                {"port": 8080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}, {"port": 3000, "protocol": "TCP"}
            ]},
            {"ports": [{"port": 9464, "protocol": "TCP"}], "from": [
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
                {"podSelector": {"matchLabels": name}}
            ]}
        ])
    );
    let none = "networkPolicy: {enabled: true, scrapers: [], egress: []}, tests: {enabled: false}";
    let rendered = Render::with(&format!("{{{none}}}")).objects();
    let spec = &rendered.one("NetworkPolicy")["spec"];
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    assert!(spec["ingress"].is_null(), "nobody is let in: {spec}");
    assert_eq!(spec["egress"], json!([]));
}

#[test]
fn helm_test_asks_the_admin_service_with_the_image_of_the_program() {
    let rendered = Render::with("tests: {binary: /usr/local/bin/rpm-runtime}").objects();
    let pod = rendered.one("Pod");
    // It asks again while the release comes up, and not for ever.
    assert_eq!(pod["spec"]["restartPolicy"], "OnFailure");
    assert_eq!(pod["spec"]["activeDeadlineSeconds"], 120);
    assert!(
        pod["spec"]["containers"][0]["resources"]["limits"]["memory"].is_string(),
        "namespaces with a quota want it"
    );
    assert_eq!(pod["metadata"]["annotations"]["helm.sh/hook"], "test");
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["image"], rendered.app()["image"]);
    assert_eq!(
        container["command"],
        json!(["/usr/local/bin/rpm-runtime", "--healthcheck"])
    );
    // Kubernetes sets this variable for the Service, such as tcp://[fd00::1]:9464, and puts its value in.
    let service = rendered.get("Service", "-admin").unwrap();
    let name = service["metadata"]["name"].as_str().unwrap();
    let variable = format!("{}_PORT", name.to_uppercase().replace('-', "_"));
    assert_eq!(
        container["env"],
        json!([{"name": "RPM_ADMIN_ADDR", "value": format!("$({variable})")}])
    );
    assert_eq!(pod["spec"]["enableServiceLinks"], json!(true));
    // The Service is there for the test only, before its pod.
    let hook = &service["metadata"]["annotations"];
    assert_eq!(hook["helm.sh/hook"], "test");
    assert_eq!(hook["helm.sh/hook-weight"], "-1");
    assert_eq!(
        hook["helm.sh/hook-delete-policy"],
        "before-hook-creation,hook-succeeded"
    );
    for wanted in ["adminService", "serviceMonitor"] {
        let rendered = Render::with(&format!("{wanted}: {{enabled: true}}")).objects();
        let service = rendered.get("Service", "-admin").unwrap();
        assert!(service["metadata"]["annotations"].is_null(), "{wanted}");
    }
    // Or the Service of the program would send requests to the test.
    let selector = rendered.one("Deployment")["spec"]["selector"]["matchLabels"].clone();
    let labels = &pod["metadata"]["labels"];
    assert!(
        selector
            .as_object()
            .unwrap()
            .iter()
            .any(|(name, value)| labels[name] != *value)
    );
}

#[test]
fn objects_carry_common_labels_and_the_namespace() {
    let rendered = Render::of("charts/rpm-runtime/ci/web-values.yaml").objects();
    for object in &rendered.0 {
        let metadata = &object["metadata"];
        let namespace = if metadata["name"] == "shop-rel-rpm-runtime-dashboard" {
            "monitoring"
        } else {
            "shop"
        };
        assert_eq!(metadata["namespace"], namespace, "{object}");
        if object["kind"] != "Pod" {
            assert_eq!(metadata["labels"]["team"], "shop", "{object}");
            assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "Helm");
        }
    }
}

#[test]
fn objects_of_the_user_are_templates() {
    let rendered = Render::with(
        "extraObjects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Release.Name }}-rpm-runtime-more'}}]",
    )
    .objects();
    assert!(rendered.get("ConfigMap", "-more").is_some());
}

#[test]
fn names_stay_within_what_kubernetes_takes() {
    let long = "n".repeat(53);
    let rendered = Render::with(&format!(
        "{{nameOverride: {long}, adminService: {{enabled: true}}, dashboard: {{enabled: true}}}}"
    ))
    .objects();
    for object in &rendered.0 {
        let name = object["metadata"]["name"].as_str().unwrap();
        assert!(name.len() <= 63 && !name.ends_with('-'), "{name}");
        for value in object["metadata"]["labels"].as_object().unwrap().values() {
            assert!(value.as_str().unwrap().len() <= 63, "{value}");
        }
    }
}
