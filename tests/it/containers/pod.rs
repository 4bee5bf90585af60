//! The pods of the chart, as podman plays them: it takes the Deployment and its ConfigMap. It knows no probes, no grace period of
//! pods and no termination log, so the test stands in for the kubelet there.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::chart::helm::Render;
use crate::containers::{Container, Engine, payloads};
use crate::harness::{SetOnDrop, children, http_get, scratch, until};
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};

/// A pod that podman plays. Removed on drop, with its volumes.
struct Pod<'a> {
    engine: &'a Engine,
    manifest: PathBuf,
    /// The seconds that its manifest grants a stop.
    grace: u64,
    /// Its name and that of its Deployment.
    name: String,
    deployment: String,
    /// What the kubelet mounts at /dev/termination-log.
    termination: PathBuf,
    /// The pod and the Service of `helm test`.
    test: [Value; 2],
}

impl<'a> Pod<'a> {
    /// Plays the pod of the chart with these values.
    #[track_caller]
    fn play(engine: &'a Engine, name: &str, values: &str) -> Self {
        let (image, tag) = (payloads(engine), "latest");
        let deployment = format!("{name}-{}", std::process::id());
        let objects = Render::with(&format!(
            "{{fullnameOverride: {deployment}, image: {{repository: {image}, tag: {tag}, pullPolicy: Never}}, {values}}}"
        ))
        .objects();
        let grace = objects.pod()["terminationGracePeriodSeconds"]
            .as_u64()
            .unwrap();
        let directory = scratch(name);
        let termination = directory.join("termination");
        fs::write(&termination, "").unwrap();
        fs::set_permissions(&termination, Permissions::from_mode(0o666)).unwrap();
        let admin = format!("{deployment}-admin");
        let mut services = objects
            .0
            .iter()
            .filter(|object| object["kind"] == "Service");
        let service = services.find(|object| object["metadata"]["name"] == admin.as_str());
        let test = [objects.one("Pod").clone(), service.unwrap().clone()];
        let kinds = ["Deployment", "ConfigMap"];
        let kept = objects.0.into_iter();
        let kept = kept.filter(|object| kinds.iter().any(|kind| object["kind"] == *kind));
        let kept = kept.map(|object| playable(object, &termination).to_string());
        let documents: Vec<String> = kept.collect();
        let manifest = directory.join("pod.yaml");
        // JSON is YAML.
        fs::write(&manifest, documents.join("\n---\n")).unwrap();
        let pod = Self {
            engine,
            manifest,
            grace,
            name: format!("{deployment}-pod-0"),
            deployment,
            termination,
            test,
        };
        let words = [
            "kube",
            "play",
            "--network",
            "none",
            pod.manifest.to_str().unwrap(),
        ];
        engine.expect(words);
        pod
    }

    /// Where the file of the ConfigMap is on this machine.
    fn file(&self, name: &str) -> PathBuf {
        let volume = format!("{}-files", self.deployment);
        let words = ["volume", "inspect", "--format", "{{.Mountpoint}}", &volume];
        PathBuf::from(self.engine.expect(words)).join(name)
    }

    /// What Kubernetes shows as the message of the end.
    fn message(&self) -> String {
        fs::read_to_string(&self.termination).unwrap()
    }

    /// Plays the pod of `helm test` in a network where the Service has the address of this machine, and returns its
    /// exit code.
    #[track_caller]
    fn helm_test(&self, network: &File) -> i32 {
        let [mut pod, service] = self.test.clone();
        let name = service["metadata"]["name"].as_str().unwrap();
        let variable = format!("$({}_PORT)", name.to_uppercase().replace('-', "_"));
        let port = &service["spec"]["ports"][0]["port"];
        let spec = &mut pod["spec"];
        let address = &mut spec["containers"][0]["env"][0]["value"];
        assert_eq!(*address, variable.as_str());
        // As the kubelet does.
        *address = format!("tcp://127.0.0.1:{port}").into();
        // The kubelet would start it again until its time is over.
        assert_eq!(spec["restartPolicy"], "OnFailure");
        spec["restartPolicy"] = "Never".into();
        spec["hostNetwork"] = true.into();
        let manifest = self.manifest.with_file_name("test.yaml");
        fs::write(&manifest, pod.to_string()).unwrap();
        let manifest = manifest.to_str().unwrap();
        // The network of the host is the one where podman runs.
        thread::scope(|scope| {
            let played = scope.spawn(|| {
                setns(network, CloneFlags::CLONE_NEWNET).unwrap();
                self.engine.expect(["kube", "play", manifest])
            });
            played.join().unwrap()
        });
        let name = pod["metadata"]["name"].as_str().unwrap();
        let code = self.engine.expect(["wait", &format!("{name}-ready")]);
        self.engine.expect(["kube", "down", manifest]);
        code.parse().unwrap()
    }

    /// Stops the pod with the grace of its manifest.
    fn stop(&self) {
        let grace = self.grace.to_string();
        self.engine
            .expect(["pod", "stop", "--time", &grace, &self.name]);
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        let manifest = self.manifest.to_str().unwrap();
        // It may never have been played.
        let _ = self.engine.podman(["kube", "down", manifest]);
        let _ = self
            .engine
            .podman(["pod", "rm", "--force", "--time", "0", &self.name]);
        let volume = format!("{}-files", self.deployment);
        let _ = self.engine.podman(["volume", "rm", "--force", &volume]);
    }
}

/// Without what this network has no place for, and without probes, for which podman needs a shell in the image. With a
/// termination log. A container that ends stays as it is, so that the test sees how.
fn playable(mut object: Value, termination: &Path) -> Value {
    if object["kind"] == "Deployment" {
        object["spec"]["replicas"] = 1.into();
        let pod = &mut object["spec"]["template"]["spec"];
        pod["restartPolicy"] = "Never".into();
        let file =
            json!({"name": "termination", "hostPath": {"path": termination, "type": "File"}});
        let mount = json!({"name": "termination", "mountPath": "/dev/termination-log"});
        add(&mut pod["volumes"], file);
        add(&mut pod["containers"][0]["volumeMounts"], mount);
        let containers = pod["containers"].as_array_mut();
        for container in containers.unwrap() {
            let container = container.as_object_mut().unwrap();
            for field in ["ports", "startupProbe", "readinessProbe", "livenessProbe"] {
                assert!(container.remove(field).is_some(), "{field}");
            }
        }
    }
    object
}

/// Adds an element to a list that may be missing.
fn add(list: &mut Value, element: Value) {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().unwrap().push(element);
}

fn ask(container: &Container) -> std::io::Result<i64> {
    container
        .inside(|| http_get("127.0.0.1:3000", "/"))
        .map(|reply| reply.pid())
}

/// Status of an admin endpoint.
fn status(container: &Container, path: &str) -> u16 {
    container
        .inside(|| http_get("127.0.0.1:9464", path))
        .map_or(0, |reply| reply.status)
}

fn workers(container: &Container) -> BTreeSet<i32> {
    children(container.pid)
        .iter()
        .map(|process| process.pid)
        .collect()
}

const VALUES: &str = "args: [/app/echo_server], ports: {http: {port: 3000}}, resources: {limits: {cpu: 1500m, memory: 256Mi}}, \
                      configFiles: {files: {app.conf: one}}, \
                      runtime: {RPM_INSTANCES: max, RPM_WATCH_DELAY: 100ms, RPM_MIN_READY: 0, RPM_SHUTDOWN_DELAY: 5s}";

/// The life of a pod: confined as the manifest says, ready, reloaded by its ConfigMap, and stopped within its grace, while a client
/// asks all the time.
fn lives(pod: &Pod) {
    let container = Container::of_pod(pod.engine, &pod.name);
    assert_eq!(container.status("NSpid"), "1");
    assert_eq!(container.status("Uid"), "65532");
    assert_eq!(container.status("Gid"), "65532");
    assert_eq!(container.status("CapBnd"), "0000000000000000");
    assert_eq!(container.status("NoNewPrivs"), "1");
    assert_eq!(container.status("Seccomp"), "2");
    assert_eq!(container.inspect("{{.HostConfig.ReadonlyRootfs}}"), "true");

    for probe in ["/startupz", "/readyz", "/livez"] {
        until(&format!("{probe} is answered"), || {
            status(&container, probe) == 200
        });
    }
    let first = workers(&container);
    assert_eq!(first.len(), 2, "a worker for each CPU of 1500m, rounded up");
    // The limits of the manifest, as the runtime sees them.
    let metrics = container.inside(|| http_get("127.0.0.1:9464", "/metrics"));
    let metrics = metrics.unwrap().text();
    for limit in [
        "rpm_cgroup_cpu_limit_cores 1.5",
        "rpm_cgroup_memory_limit_bytes 268435456",
    ] {
        assert!(metrics.lines().any(|line| line == limit), "{metrics}");
    }

    let (stopping, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let answered = thread::scope(|scope| {
        // A pod that is not stopped stays ready.
        let _over = SetOnDrop(&over);
        let client = scope.spawn(|| {
            let mut answered = 0_u32;
            let wanted =
                || !stopping.load(Ordering::SeqCst) || status(&container, "/readyz") == 200;
            // As a load balancer: it goes on until the pod says that it is not ready any more.
            while !over.load(Ordering::SeqCst) && wanted() {
                ask(&container).expect("every request is answered");
                answered += 1;
            }
            answered
        });
        fs::write(pod.file("app.conf"), "two").unwrap();
        until("both workers are new", || {
            let now = workers(&container);
            now.len() == 2 && now.is_disjoint(&first)
        });
        assert_eq!(status(&container, "/readyz"), 200);
        stopping.store(true, Ordering::SeqCst);
        pod.stop();
        client.join().unwrap()
    });
    assert!(answered > 0);
    assert_eq!(
        container.inspect("{{.State.ExitCode}}"),
        "0",
        "{}",
        container.logs()
    );
    assert!(
        container.logs().contains("stopped code=0"),
        "{}",
        container.logs()
    );
    let message = pod.message();
    assert!(message.starts_with("rpm-runtime: stopped"), "{message}");
}

/// With a program that cannot run. The CPU limit is below what the machine has.
#[test]
fn a_pod_that_gives_up_ends_with_the_code_of_its_program_and_says_why() {
    let engine = Engine::new();
    let values = "args: [/app/echo_server, --no-such-option], ports: {http: {port: 3000}}, resources: {limits: {cpu: 1, memory: 256Mi}}, \
                  runtime: {RPM_INSTANCES: max, RPM_MAX_RESTARTS: 1}";
    let pod = Pod::play(&engine, "chart-gives-up", values);
    let container = Container::of_pod(&engine, &pod.name);
    until("it ends", || {
        container.inspect("{{.State.Status}}") == "exited"
    });
    let logs = container.logs();
    assert_eq!(container.inspect("{{.State.ExitCode}}"), "2", "{logs}");
    let message = pod.message();
    let why = "rpm-runtime: gave up: slot 0 cannot stay up (short lives in a row: 1), exit code 2";
    assert!(message.starts_with(why), "{message}\n{logs}");
    assert!(message.contains("slot 0 pid "), "{message}");
    assert!(
        logs.contains(" instances=1 "),
        "one worker for one CPU: {logs}"
    );
}

#[test]
fn helm_test_passes_while_the_release_serves_and_fails_when_it_is_down() {
    let engine = Engine::new();
    let values = "args: [/app/echo_server], ports: {http: {port: 3000}}, tests: {binary: /rpm-runtime}, runtime: {RPM_INSTANCES: 2}";
    let pod = Pod::play(&engine, "chart-test", values);
    let container = Container::of_pod(&engine, &pod.name);
    let network = File::open(format!("/proc/{}/ns/net", container.pid)).unwrap();
    until("the pod is ready", || status(&container, "/readyz") == 200);
    assert_eq!(pod.helm_test(&network), 0);
    assert_eq!(container.stop(20), 0, "{}", container.logs());
    assert_eq!(pod.helm_test(&network), 1);
}

#[test]
fn the_pod_of_the_chart_is_confined_and_loses_no_request() {
    let engine = Engine::new();
    let pod = Pod::play(&engine, "chart-pod", VALUES);
    lives(&pod);
}

/// The init container of the chart, then the program's container with another user. Each is started by itself: podman 4.3 tries to
/// remove an init container before it sees its end.
#[test]
fn the_init_container_brings_a_binary_that_runs_in_another_container() {
    let engine = Engine::new();
    let image = payloads(&engine);
    let pod = Render::with("{inject: {enabled: true, image: {repository: registry.example/rpm-runtime}}, args: [/app/echo_server]}").objects();
    let words = |container: &Value, field: &str| -> Vec<String> {
        serde_json::from_value(container[field].clone()).unwrap()
    };
    let init = &pod.pod()["initContainers"][0];
    let mount = init["volumeMounts"][0]["mountPath"].as_str().unwrap();
    let shared = scratch("chart-inject");
    // As an emptyDir is.
    fs::set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
    let volume = format!("{}:{mount}", shared.display());

    let command = words(init, "command");
    let confined = "run --rm --network none --read-only --cap-drop all --security-opt no-new-privileges --user 65532:65532";
    let mut run: Vec<&str> = confined.split(' ').collect();
    run.extend(["--volume", &volume, "--entrypoint", &command[0], image]);
    run.extend(command[1..].iter().map(String::as_str));
    engine.expect(run);

    let binary = words(pod.app(), "command").remove(0);
    let options = [
        "--user",
        "65534:65534",
        "--volume",
        &format!("{volume}:ro"),
        "--env",
        "RPM_INSTANCES=2",
        "--entrypoint",
        &binary,
        image,
    ];
    let mut options: Vec<String> = options.map(str::to_owned).to_vec();
    options.extend(words(pod.app(), "args"));
    let container = Container::start(&engine, "chart-inject", &options);
    let executable = fs::read_link(format!("/proc/{}/exe", container.pid)).unwrap();
    assert_eq!(executable.to_str(), Some(binary.as_str()));
    let mut seen = BTreeSet::new();
    until("both workers answer", || {
        seen.extend(ask(&container));
        seen.len() == 2
    });
    assert_eq!(container.stop(20), 0, "{}", container.logs());
}
