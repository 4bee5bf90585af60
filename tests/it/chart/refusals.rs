//! A wrong value is refused with its name, and nothing is rendered.

use super::helm::{CHART, Render, helm, run};

/// Variables of the runtime.
const RUNTIME: &[(&str, &str)] = &[
    (
        "runtime: {RPM_READY_TIMOUT: 30s}",
        "at '/runtime': additional properties 'RPM_READY_TIMOUT' not allowed",
    ),
    (
        "runtime: {RPM_READY_TIMEOUT: 30}",
        "at '/runtime/RPM_READY_TIMEOUT': got number",
    ),
    (
        "runtime: {RPM_READY_TIMEOUT: 1m30s}",
        "at '/runtime/RPM_READY_TIMEOUT': '1m30s' does not match pattern",
    ),
    (
        "runtime: {RPM_INSTANCES: 0}",
        "at '/runtime/RPM_INSTANCES': minimum: got 0, want 1",
    ),
    (
        "runtime: {RPM_INSTANCES: many}",
        "at '/runtime/RPM_INSTANCES': 'many' does not match pattern",
    ),
    (
        "runtime: {RPM_BALANCE: fair}",
        "at '/runtime/RPM_BALANCE': value must be one of 'adaptive'",
    ),
    (
        "runtime: {RPM_STOP_MESSAGE: maybe}",
        "at '/runtime/RPM_STOP_MESSAGE': got string",
    ),
    (
        "runtime: {RPM_MAX_MEMORY: 300}",
        "at '/runtime/RPM_MAX_MEMORY': got number",
    ),
    (
        "runtime: {RPM_EXIT_OK: [256]}",
        "at '/runtime/RPM_EXIT_OK/0': maximum: got 256, want 255",
    ),
    (
        "runtime: {RPM_STOP_TIMEOUT_FILE: /run/x}",
        "additional properties 'RPM_STOP_TIMEOUT_FILE' not allowed",
    ),
    (
        "runtime: {RPM_MAX_MEMORY: 80%}",
        "runtime.RPM_MAX_MEMORY: 80% is a part of resources.limits.memory, which is not set",
    ),
    (
        "runtime: {RPM_ADMIN_ADDR: '127.0.0.1:9464'}",
        "runtime.RPM_ADMIN_ADDR: 127.0.0.1:9464 cannot be reached by the kubelet",
    ),
    (
        "runtime: {RPM_ADMIN_ADDR: '[::]:0'}",
        "runtime.RPM_ADMIN_ADDR: [::]:0 names no port that the kubelet can ask",
    ),
    (
        "env: {RPM_INSTANCES: 4}",
        "env.RPM_INSTANCES: it belongs to the runtime, so its place is runtime.RPM_INSTANCES",
    ),
];

/// Ports, and what leads to them.
const PORTS: &[(&str, &str)] = &[
    (
        "ports: {http: {prt: 80}}",
        "additional properties 'prt' not allowed",
    ),
    (
        "ports: {http: {port: 70000}}",
        "at '/ports/http/port': maximum: got 70,000, want 65,535",
    ),
    ("ports: {HTTP: {port: 80}}", "invalid propertyName 'HTTP'"),
    (
        "ports: {admin: {port: 80}}",
        "ports.admin: the name is that of the port of runtime.RPM_ADMIN_ADDR",
    ),
    (
        "ports: {http: {port: 9464}}",
        "ports.http: the port 9464 is that of runtime.RPM_ADMIN_ADDR",
    ),
    (
        "ports: {a: {port: 80}, b: {port: 80}}",
        "ports.b: the port 80 is that of ports.a",
    ),
    (
        "{ports: {a: {port: 80}}, runtime: {RPM_PORTS: off}}",
        "runtime.RPM_PORTS: off, but ports.a shall be shared",
    ),
    (
        "ingress: {enabled: true, hosts: [{host: a.example}]}",
        "ingress.hosts: there is no exposed TCP port in `ports`",
    ),
    (
        "{ports: {a: {port: 80}}, ingress: {enabled: true}}",
        "ingress.hosts: no host is named",
    ),
    (
        "{ports: {a: {port: 80}}, httpRoute: {enabled: true}}",
        "httpRoute.parentRefs: no gateway is named",
    ),
    (
        "{ports: {a: {port: 80}}, httpRoute: {enabled: true, parentRefs: [{name: g}], port: b}}",
        "httpRoute.port: the port b is not in `ports`",
    ),
    (
        "{ports: {a: {port: 80, shared: false}}, ingress: {enabled: true, hosts: [{host: a.example}]}}",
        "ingress.hosts: there is no exposed TCP port in `ports`",
    ),
    (
        "{ports: {a: {port: 80}, b: {port: 81, expose: false}}, httpRoute: {enabled: true, parentRefs: [{name: g}], port: b}}",
        "httpRoute.port: the port b is not in the Service, see ports.b.expose",
    ),
    (
        "{ports: {a: null}, httpRoute: {enabled: true, parentRefs: [{name: g}], port: a}}",
        "httpRoute.port: the port a is not in `ports`",
    ),
    (
        "ports: {a: {port: 80}, b: {port: 81, servicePort: 80}}",
        "ports.b: the port 80 of the Service is that of ports.a",
    ),
    (
        "service: {externalTrafficPolicy: Local}",
        "service.externalTrafficPolicy: Local is for the types NodePort and LoadBalancer",
    ),
    (
        "{ports: {a: {port: 80}}, service: {enabled: false}, ingress: {enabled: true, hosts: [{}]}}",
        "ingress.enabled: it leads to the Service",
    ),
];

/// The rest.
const OTHERS: &[(&str, &str)] = &[
    ("replicas: two", "at '/replicas': got string, want integer"),
    (
        "replicaCount: 2",
        "additional properties 'replicaCount' not allowed",
    ),
    (
        "image: {digest: abc}",
        "at '/image/digest': 'abc' does not match pattern",
    ),
    (
        "image: {repository: ''}",
        "image.repository: the image is not named",
    ),
    (
        "image: {tag: ''}",
        "image.tag: the image registry.example/shop has neither a tag nor a digest",
    ),
    (
        "inject: {enabled: true, image: {repository: x}}",
        "args: with inject.enabled the program must be named here",
    ),
    (
        "{inject: {enabled: true}, args: [x]}",
        "inject.image.repository: the image is not named",
    ),
    (
        "{inject: {enabled: true, image: {repository: x}}, args: [x], command: [z]}",
        "command: inject.enabled sets it",
    ),
    (
        "configFiles: {files: {a: b}, existing: c}",
        "configFiles.existing: there are configFiles.files too",
    ),
    (
        "{configFiles: {existing: a}, secretFiles: {existing: b, mountPath: /etc/app/}}",
        "mountPath: /etc/app/ is that of the volumes config-files and secret-files",
    ),
    (
        "{configFiles: {existing: a, mountPath: /tmp}}",
        "mountPath: /tmp is that of the volumes tmp and config-files",
    ),
    (
        "commonLabels: {app.kubernetes.io/name: x}",
        "commonLabels: the chart sets app.kubernetes.io/name itself",
    ),
    (
        "podLabels: {app.kubernetes.io/instance: x}",
        "podLabels: the chart sets app.kubernetes.io/instance itself",
    ),
    (
        "securityContext: {readOnlyRootFileSystem: true}",
        "at '/securityContext': additional properties 'readOnlyRootFileSystem' not allowed",
    ),
    (
        "podSecurityContext: {runAsUsr: 1}",
        "at '/podSecurityContext': additional properties 'runAsUsr' not allowed",
    ),
    (
        "resources: {limits: {memory: 1 GB}}",
        "at '/resources/limits/memory': '1 GB' does not match pattern",
    ),
    (
        "autoscaling: {enabled: true}",
        "autoscaling.cpuUtilization: a percentage of resources.requests.cpu, which is not set",
    ),
    (
        "autoscaling: {enabled: true, cpuUtilization: null}",
        "autoscaling.enabled: no metric to scale by",
    ),
    (
        "autoscaling: {enabled: true, minReplicas: 11}",
        "autoscaling.maxReplicas: 10 is less than autoscaling.minReplicas 11",
    ),
    (
        "podDisruptionBudget: {minAvailable: 1}",
        "podDisruptionBudget.minAvailable: podDisruptionBudget.maxUnavailable is set too",
    ),
    (
        "{podMonitor: {enabled: true}, serviceMonitor: {enabled: true}}",
        "serviceMonitor.enabled: podMonitor.enabled is true too",
    ),
    (
        "{podMonitor: {enabled: true}, runtime: {RPM_ADMIN_ADDR: off}}",
        "podMonitor.enabled: it needs the admin endpoints",
    ),
    (
        "prometheusRule: {enabled: true, disabled: [RpmOom]}",
        "prometheusRule.disabled: there is no alert RpmOom; there are RpmNotReady",
    ),
];

#[test]
fn a_wrong_value_is_refused_with_its_name() {
    for (values, expected) in [RUNTIME, PORTS, OTHERS].concat() {
        let said = Render::with(values).refused();
        assert!(said.contains(expected), "{values}: {said}");
    }
}

#[test]
fn a_chart_without_an_image_says_so() {
    let output = run(&mut helm(&["template", "rel", CHART]), "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("image.repository: the image is not named"),
        "{said}"
    );
}

#[test]
fn another_chart_may_pass_global_values() {
    Render::with("global: {region: north, anything: [1, 2]}").objects();
}
