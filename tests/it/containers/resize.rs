//! In-place resize: `podman update` writes the limits of a running container, as the kubelet does.

use crate::containers::{Container, Engine, payloads};
use crate::harness::{children, http_get, until};

fn workers(container: &Container) -> Vec<i32> {
    let mut pids: Vec<i32> = children(container.pid)
        .iter()
        .map(|process| process.pid)
        .collect();
    pids.sort_unstable();
    pids
}

/// The value of one metric.
fn metric(container: &Container, series: &str) -> Option<String> {
    let page = container.inside(|| http_get("127.0.0.1:9464", "/metrics"));
    // It may not listen yet.
    let page = page.ok()?.text();
    let value = page.lines().find_map(|line| line.strip_prefix(series));
    value.map(|value| value.trim().to_owned())
}

#[test]
fn the_workers_of_a_container_follow_its_cpus_without_a_restart() {
    let engine = Engine::new();
    let options = "--cpus 1 --env RPM_INSTANCES=max --env RPM_READY=listen";
    let mut words: Vec<String> = options.split(' ').map(str::to_owned).collect();
    words.extend([payloads(&engine), "/app/echo_server"].map(str::to_owned));
    let container = Container::start(&engine, "resize", &words);
    until("the worker is ready", || {
        metric(&container, "rpm_workers{state=\"ready\"}").as_deref() == Some("1")
    });
    let first = workers(&container);
    assert_eq!(first.len(), 1);
    let started = container.inspect("{{.State.StartedAt}}");

    let update = |cpus: &str, wanted: usize| {
        engine.expect(["update", "--cpus", cpus, &container.name]);
        until(&format!("{wanted} workers with {cpus} CPUs"), || {
            let ready = metric(&container, "rpm_workers{state=\"ready\"}");
            ready == Some(wanted.to_string()) && workers(&container).len() == wanted
        });
        assert_eq!(
            metric(&container, "rpm_cgroup_cpu_limit_cores").as_deref(),
            Some(cpus)
        );
        // The first worker serves all the time.
        assert!(workers(&container).contains(&first[0]));
        let reply = container.inside(|| http_get("127.0.0.1:3000", "/"));
        assert_eq!(reply.unwrap().status, 200);
    };
    update("1.5", 2);
    update("0.5", 1);
    update("2", 2);
    assert_eq!(container.inspect("{{.State.StartedAt}}"), started);
    assert_eq!(
        metric(&container, "rpm_resizes_total{followed=\"workers\"}").as_deref(),
        Some("3")
    );
    assert_eq!(container.stop(20), 0, "{}", container.logs());
}
