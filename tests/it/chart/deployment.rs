//! The pods of the Deployment, and what comes into them.

use serde_json::json;

use super::helm::Render;

#[test]
fn probes_ask_the_runtime_on_its_admin_port() {
    let rendered = Render::with("runtime: {RPM_ADMIN_ADDR: '0.0.0.0:9999'}").objects();
    let app = rendered.app();
    let port = json!({"name": "admin", "containerPort": 9999, "protocol": "TCP"});
    assert_eq!(app["ports"], json!([port]));
    let probes = [
        ("startup", "/startupz"),
        ("readiness", "/readyz"),
        ("liveness", "/livez"),
    ];
    for (probe, path) in probes {
        let asked = &app[format!("{probe}Probe")]["httpGet"];
        assert_eq!(*asked, json!({"path": path, "port": "admin"}), "{probe}");
    }
    let rendered = Render::with("probes: {liveness: {enabled: false}}").objects();
    assert!(rendered.app()["livenessProbe"].is_null());
    assert!(!rendered.app()["readinessProbe"].is_null());
}

#[test]
fn without_admin_endpoints_there_is_nothing_to_ask() {
    let rendered = Render::with("runtime: {RPM_ADMIN_ADDR: off}").objects();
    let app = rendered.app();
    for field in ["startupProbe", "readinessProbe", "livenessProbe", "ports"] {
        assert!(app[field].is_null(), "{field}");
    }
    assert!(rendered.get("Service", "-admin").is_none());
    assert!(!rendered.has("Pod"), "helm test would have nobody to ask");
}

#[test]
fn the_image_is_named_by_tag_or_digest() {
    let image = |values: &str| Render::with(values).objects().app()["image"].clone();
    assert_eq!(image("{}"), "registry.example/shop:1.4.2");
    let digest = format!("sha256:{}", "a1".repeat(32));
    assert_eq!(
        image(&format!("image: {{digest: '{digest}'}}")),
        format!("registry.example/shop:1.4.2@{digest}")
    );
    assert_eq!(
        image(&format!("image: {{tag: '', digest: '{digest}'}}")),
        format!("registry.example/shop@{digest}")
    );
}

#[test]
fn an_image_without_the_binary_gets_it_by_an_init_container() {
    let rendered = Render::with(
        "{inject: {enabled: true, image: {repository: registry.example/rpm-runtime}}, args: [python3, app.py], ports: {http: {port: 8000}}}",
    )
    .objects();
    let pod = rendered.pod();
    let init = &pod["initContainers"][0];
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        init["image"],
        format!("registry.example/rpm-runtime:{version}")
    );
    assert_eq!(
        init["command"],
        json!(["/rpm-runtime", "--copy-to", "/opt/rpm-runtime/rpm-runtime"])
    );
    assert_eq!(
        init["volumeMounts"],
        json!([{"name": "rpm-runtime", "mountPath": "/opt/rpm-runtime"}])
    );
    let app = rendered.app();
    assert_eq!(app["command"], json!(["/opt/rpm-runtime/rpm-runtime"]));
    assert_eq!(app["args"], json!(["python3", "app.py"]));
    let mount = json!({"name": "rpm-runtime", "mountPath": "/opt/rpm-runtime", "readOnly": true});
    assert!(app["volumeMounts"].as_array().unwrap().contains(&mount));
    let volume = json!({"name": "rpm-runtime", "emptyDir": {"sizeLimit": "32Mi"}});
    assert!(pod["volumes"].as_array().unwrap().contains(&volume));
    let test = &rendered.one("Pod")["spec"];
    assert_eq!(test["initContainers"], pod["initContainers"]);
    assert_eq!(
        test["containers"][0]["command"],
        json!(["/opt/rpm-runtime/rpm-runtime", "--healthcheck"])
    );
}

#[test]
fn what_the_image_starts_is_left_to_it() {
    let rendered = Render::with("{}").objects();
    let app = rendered.app();
    assert!(app["command"].is_null() && app["args"].is_null(), "{app}");
    assert!(rendered.pod()["initContainers"].is_null());
}

#[test]
fn files_are_mounted_as_directories_and_watched() {
    let rendered = Render::with(
        "{configFiles: {files: {app.json: '{}'}}, secretFiles: {files: {key: s3cret}}, runtime: {RPM_WATCH: /data}}",
    )
    .objects();
    assert_eq!(
        rendered.variable("RPM_WATCH"),
        Some("/data,/etc/app,/etc/app-secret")
    );
    assert_eq!(rendered.one("ConfigMap")["data"], json!({"app.json": "{}"}));
    assert_eq!(
        rendered.one("Secret")["stringData"],
        json!({"key": "s3cret"})
    );
    let pod = rendered.pod();
    let volumes = pod["volumes"].as_array().unwrap();
    assert!(volumes.contains(
        &json!({"name": "config-files", "configMap": {"name": "rel-rpm-runtime-files"}})
    ));
    assert!(volumes.contains(
        &json!({"name": "secret-files", "secret": {"secretName": "rel-rpm-runtime-files"}})
    ));
    for mount in rendered.app()["volumeMounts"].as_array().unwrap() {
        assert!(
            mount["subPath"].is_null(),
            "a file that is mounted alone never changes: {mount}"
        );
    }
    // The workers are reloaded; the pods stay.
    let template = &rendered.one("Deployment")["spec"]["template"]["metadata"];
    assert!(template["annotations"].is_null(), "{template}");
}

#[test]
fn files_that_are_not_watched_replace_the_pods_when_they_change() {
    let checksum = |text: &str| {
        let values = format!("configFiles: {{watch: false, files: {{app.json: '{text}'}}}}");
        let rendered = Render::with(&values).objects();
        assert_eq!(rendered.variable("RPM_WATCH"), None);
        let template = &rendered.one("Deployment")["spec"]["template"]["metadata"];
        template["annotations"]["checksum/config-files"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(checksum("a"), checksum("a"));
    assert_ne!(checksum("a"), checksum("b"));
}

#[test]
fn a_resize_restarts_the_container_only_where_the_runtime_does_not_follow() {
    let policy = |values: &str| {
        let rendered = Render::with(values).for_kubernetes("1.33").objects();
        rendered.app()["resizePolicy"].clone()
    };
    let (keep, restart) = ("NotRequired", "RestartContainer");
    let percent = |more: &str| {
        format!(
            "{{resources: {{limits: {{memory: 1Gi}}}}, runtime: {{RPM_MAX_MEMORY: 50%{more}}}}}"
        )
    };
    let cases = [
        ("{}", keep, keep),
        (
            "runtime: {RPM_INSTANCES: 4, RPM_MAX_MEMORY: 300Mi}",
            keep,
            keep,
        ),
        ("runtime: {RPM_INSTANCES: max}", keep, keep),
        ("runtime: {RPM_INSTANCES: max-1}", keep, keep),
        (&percent(""), keep, keep),
        (
            "runtime: {RPM_INSTANCES: max, RPM_INSTANCES_FOLLOW: false}",
            restart,
            keep,
        ),
        (
            "runtime: {RPM_INSTANCES: max, RPM_MAX_MEMORY: 300Mi, RPM_INSTANCES_FOLLOW: false}",
            restart,
            restart,
        ),
        (&percent(", RPM_INSTANCES_FOLLOW: false"), keep, restart),
        (
            "runtime: {RPM_INSTANCES: max, RPM_RESTART: never}",
            restart,
            keep,
        ),
        (
            &percent(", RPM_INSTANCES: max, RPM_RESTART: never"),
            restart,
            keep,
        ),
        (
            "{runtime: {RPM_INSTANCES: max}, resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}, {resourceName: memory, \
             restartPolicy: RestartContainer}]}",
            keep,
            restart,
        ),
    ];
    for (values, cpu, memory) in cases {
        let expected = json!([
            {"resourceName": "cpu", "restartPolicy": cpu},
            {"resourceName": "memory", "restartPolicy": memory}
        ]);
        assert_eq!(policy(values), expected, "{values}");
    }
    let old = Render::with("{}").for_kubernetes("1.32").objects();
    assert!(
        old.app()["resizePolicy"].is_null(),
        "1.32 knows no such field"
    );
}

#[test]
fn pods_that_are_all_stopped_first_are_not_rolled() {
    let strategy = |values: &str| {
        let rendered = Render::with(values).objects();
        rendered.one("Deployment")["spec"]["strategy"].clone()
    };
    assert_eq!(
        strategy("{}"),
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    );
    assert_eq!(
        strategy("strategy: {type: Recreate}"),
        json!({"type": "Recreate"})
    );
}

#[test]
fn a_stop_signal_names_the_system_that_it_needs() {
    let rendered = Render::with("lifecycle: {stopSignal: SIGINT}").objects();
    assert_eq!(rendered.pod()["os"], json!({"name": "linux"}));
    assert_eq!(rendered.app()["lifecycle"]["stopSignal"], "SIGINT");
    assert!(Render::with("{}").objects().pod()["os"].is_null());
}

#[test]
fn a_label_of_pods_wins_over_the_common_one() {
    let rendered = Render::with(
        "{commonLabels: {team: a, app.kubernetes.io/version: '7'}, podLabels: {team: b}}",
    )
    .objects();
    let deployment = rendered.one("Deployment");
    assert_eq!(deployment["metadata"]["labels"]["team"], "a");
    let pod = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(pod["team"], "b");
    assert_eq!(pod["app.kubernetes.io/version"], "7");
}

#[test]
fn pods_are_spread_over_nodes() {
    let spread = |version, values: &str| {
        let rendered = Render::with(values).for_kubernetes(version).objects();
        rendered.pod()["topologySpreadConstraints"].clone()
    };
    let selector = json!({"matchLabels": {"app.kubernetes.io/name": "rpm-runtime", "app.kubernetes.io/instance": "rel"}});
    let mut expected = json!([{
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": selector
    }]);
    assert_eq!(spread("1.26", "{}"), expected);
    expected[0]["matchLabelKeys"] = json!(["pod-template-hash"]);
    assert_eq!(spread("1.27", "{}"), expected);
    let zones = "{topologySpread: {enabled: false}, topologySpreadConstraints: [{maxSkew: 2, topologyKey: zone, whenUnsatisfiable: \
                 DoNotSchedule}]}";
    let zones = spread("1.26", zones);
    assert_eq!(zones[0]["topologyKey"], "zone");
    assert_eq!(zones[0]["labelSelector"], selector);
    assert!(zones[1].is_null());
}

#[test]
fn a_new_chart_that_changes_nothing_replaces_no_pod() {
    let rendered = Render::with("{}").objects();
    let deployment = rendered.one("Deployment");
    assert!(deployment["metadata"]["labels"]["helm.sh/chart"].is_string());
    let pod = &deployment["spec"]["template"]["metadata"]["labels"];
    assert!(pod["helm.sh/chart"].is_null(), "{pod}");
    assert_eq!(
        deployment["spec"]["selector"]["matchLabels"],
        json!({"app.kubernetes.io/name": "rpm-runtime", "app.kubernetes.io/instance": "rel"})
    );
}

#[test]
fn pods_get_neither_a_token_nor_variables_of_services() {
    let rendered = Render::with("{}").objects();
    let pod = rendered.pod();
    assert_eq!(pod["automountServiceAccountToken"], json!(false));
    assert_eq!(pod["enableServiceLinks"], json!(false));
    assert_eq!(pod["serviceAccountName"], "rel-rpm-runtime");
    assert_eq!(
        rendered.one("ServiceAccount")["automountServiceAccountToken"],
        json!(false)
    );
    let rendered = Render::with("serviceAccount: {create: false}").objects();
    assert_eq!(rendered.pod()["serviceAccountName"], "default");
    assert!(!rendered.has("ServiceAccount"));
}

#[test]
fn directories_that_can_be_written_are_empty_dirs() {
    let rendered =
        Render::with("emptyDirs: {cache: {mountPath: /cache, medium: Memory}}").objects();
    assert_eq!(
        rendered.pod()["volumes"],
        json!([
            {"name": "cache", "emptyDir": {"medium": "Memory"}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}
        ])
    );
    assert_eq!(
        rendered.app()["securityContext"]["readOnlyRootFilesystem"],
        json!(true)
    );
    let rendered = Render::with("emptyDirs: {tmp: null}").objects();
    assert!(rendered.pod()["volumes"].is_null());
    assert!(rendered.app()["volumeMounts"].is_null());
}

#[test]
fn the_end_is_told_where_kubernetes_reads_it() {
    let rendered = Render::with("runtime: {RPM_TERMINATION_LOG: /tmp/why}").objects();
    assert_eq!(rendered.app()["terminationMessagePath"], "/tmp/why");
    let rendered = Render::with("{}").objects();
    assert_eq!(
        rendered.app()["terminationMessagePath"],
        "/dev/termination-log"
    );
    assert_eq!(
        rendered.app()["terminationMessagePolicy"],
        "FallbackToLogsOnError"
    );
}
