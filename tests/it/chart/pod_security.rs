//! The Pod Security Standard "restricted", as Kubernetes' page "Pod Security Standards" lists its rules, on each rendered pod.

use serde_json::{Value, json};

use super::helm::{Render, all_files};

/// What a pod breaks.
pub fn broken(pod: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut rule = |holds: bool, what: String| {
        if !holds {
            faults.push(what);
        }
    };
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        rule(pod[field] != json!(true), field.to_owned());
    }
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let kinds: Vec<&String> = volume
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "name")
            .collect();
        let safe = [
            "configMap",
            "csi",
            "downwardAPI",
            "emptyDir",
            "ephemeral",
            "persistentVolumeClaim",
            "projected",
            "secret",
        ];
        rule(
            kinds.iter().all(|kind| safe.contains(&kind.as_str())),
            format!("volume {volume}"),
        );
    }
    let whole = &pod["securityContext"];
    rule(whole["runAsUser"] != json!(0), "the pod's user".to_owned());
    let lists = ["initContainers", "containers"]
        .map(|list| pod[list].as_array().cloned().unwrap_or_default());
    for container in lists.concat() {
        let name = &container["name"];
        let own = &container["securityContext"];
        let either = |field: &str| {
            if own[field].is_null() {
                whole[field].clone()
            } else {
                own[field].clone()
            }
        };
        rule(
            either("runAsNonRoot") == json!(true),
            format!("{name} runAsNonRoot"),
        );
        rule(own["runAsUser"] != json!(0), format!("{name} runAsUser"));
        rule(
            own["privileged"] != json!(true),
            format!("{name} privileged"),
        );
        rule(
            own["allowPrivilegeEscalation"] == json!(false),
            format!("{name} allowPrivilegeEscalation"),
        );
        rule(
            own["capabilities"]["drop"] == json!(["ALL"]),
            format!("{name} capabilities.drop"),
        );
        let added = own["capabilities"]["add"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        rule(
            added.iter().all(|added| added == "NET_BIND_SERVICE"),
            format!("{name} capabilities.add"),
        );
        let seccomp = &either("seccompProfile")["type"];
        rule(
            seccomp == "RuntimeDefault" || seccomp == "Localhost",
            format!("{name} seccompProfile"),
        );
        rule(
            own["procMount"].is_null() || own["procMount"] == "Default",
            format!("{name} procMount"),
        );
        let ports = container["ports"].as_array().cloned().unwrap_or_default();
        rule(
            ports.iter().all(|port| port["hostPort"].is_null()),
            format!("{name} hostPort"),
        );
    }
    faults
}

#[test]
fn every_rendered_pod_is_restricted() {
    for file in all_files() {
        let rendered = Render::of(&file).objects();
        assert_eq!(broken(rendered.pod()), Vec::<String>::new(), "{file}");
        let tests = rendered.0.iter().filter(|object| object["kind"] == "Pod");
        for test in tests {
            assert_eq!(broken(&test["spec"]), Vec::<String>::new(), "{file}");
        }
    }
}

#[test]
fn the_rules_see_what_is_not_restricted() {
    let cases = [
        (
            "podSecurityContext: {runAsNonRoot: false}",
            "\"app\" runAsNonRoot",
        ),
        ("podSecurityContext: {runAsUser: 0}", "the pod's user"),
        (
            "podSecurityContext: {seccompProfile: {type: Unconfined}}",
            "\"app\" seccompProfile",
        ),
        (
            "securityContext: {allowPrivilegeEscalation: true}",
            "\"app\" allowPrivilegeEscalation",
        ),
        (
            "securityContext: {capabilities: {drop: []}}",
            "\"app\" capabilities.drop",
        ),
        (
            "securityContext: {capabilities: {add: [SYS_PTRACE]}}",
            "\"app\" capabilities.add",
        ),
        ("securityContext: {privileged: true}", "\"app\" privileged"),
        (
            "extraVolumes: [{name: x, hostPath: {path: /}}]",
            "volume {\"hostPath\":{\"path\":\"/\"},\"name\":\"x\"}",
        ),
        (
            "extraContainers: [{name: x, image: y}]",
            "\"x\" allowPrivilegeEscalation",
        ),
    ];
    for (values, expected) in cases {
        let found = broken(Render::with(values).objects().pod());
        assert_eq!(
            found.first().map(String::as_str),
            Some(expected),
            "{values}"
        );
    }
}

/// Where the cluster chooses the user, none is named; the rest stays.
#[test]
fn any_user_will_do() {
    let rendered =
        Render::with("podSecurityContext: {runAsUser: null, runAsGroup: null}").objects();
    let context = &rendered.pod()["securityContext"];
    assert_eq!(
        *context,
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}})
    );
    assert_eq!(broken(rendered.pod()), Vec::<String>::new());
    // By default neither is root: without a group, Kubernetes takes that of the image.
    let rendered = Render::with("{}").objects();
    for pod in [rendered.pod(), &rendered.one("Pod")["spec"]] {
        assert_eq!(pod["securityContext"]["runAsUser"], 65532);
        assert_eq!(pod["securityContext"]["runAsGroup"], 65532);
    }
}
