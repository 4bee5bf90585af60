//! Each folder of `examples` runs as its Dockerfile says: all workers are seen, each has its metrics, a reload under load loses
//! nothing, and the stop ends with 0.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use super::lost_nothing;
use crate::harness::deployed::{Deployed, folder, folders, installed, own_network};
use crate::harness::load::{Load, Pace, Plan, Style};
use crate::harness::reloads::reload;
use crate::harness::shared_port::{stop, v4, wait_ready, wait_rotation};
use crate::harness::status::status;
use crate::harness::{
    Reply, Runtime, cpp_program, go_server, http_get, scratch, source, until, until_some,
};

const WORKERS: usize = 2;

/// What a test must know of an example.
struct Case {
    folder: &'static str,
    /// What the earlier stages of its Dockerfile make, by path: see [`Deployed::new`].
    made: fn() -> Vec<(&'static str, Option<PathBuf>)>,
    /// A program that has another name on this machine.
    called: Option<(&'static str, &'static str)>,
    /// Which worker answered.
    who: fn(&Reply) -> String,
    /// Whether it speaks FastCGI, so that a web server stands before it.
    fastcgi: bool,
}

const CASE: Case = Case {
    folder: "",
    made: Vec::new,
    called: None,
    who: greeting,
    fastcgi: false,
};

#[test]
fn express_with_log4js_is_served_and_reloaded() {
    runs(&Case {
        folder: "node/express",
        made: || {
            vec![(
                "/app/node_modules",
                Some(installed("node/express").join("node_modules")),
            )]
        },
        ..CASE
    });
}

#[test]
fn a_wsgi_application_is_served_and_reloaded() {
    runs(&Case {
        folder: "python/wsgi",
        made: || vec![("/venv", Some(installed("python/wsgi")))],
        ..CASE
    });
}

#[test]
fn an_asgi_application_is_served_and_reloaded() {
    runs(&Case {
        folder: "python/asgi",
        made: || vec![("/venv", Some(installed("python/asgi")))],
        ..CASE
    });
}

#[test]
fn puma_in_single_mode_is_served_and_reloaded() {
    runs(&Case {
        folder: "ruby/puma",
        made: || vec![("/usr/local/bundle", None)],
        ..CASE
    });
}

#[test]
fn static_go_is_served_and_reloaded() {
    runs(&Case {
        folder: "go",
        made: || vec![("/server", Some(go_server(&scratch("example-go"))))],
        who: slot,
        ..CASE
    });
}

#[test]
fn axum_is_served_and_reloaded() {
    runs(&Case {
        folder: "rust/axum",
        made: || vec![("/src/target/release/server", Some(axum_server()))],
        ..CASE
    });
}

#[test]
fn the_http_server_of_the_jdk_is_served_and_reloaded() {
    runs(&Case {
        folder: "java/httpserver",
        made: || vec![("/classes", Some(java_classes()))],
        ..CASE
    });
}

#[test]
fn phps_own_server_is_served_and_reloaded() {
    runs(&Case {
        folder: "php/server",
        ..CASE
    });
}

#[test]
fn php_fpm_is_served_and_reloaded() {
    runs(&Case {
        folder: "php/fpm",
        called: Some(("php-fpm", "/usr/sbin/php-fpm8.2")),
        fastcgi: true,
        ..CASE
    });
}

#[test]
fn nginx_with_static_files_is_served_and_reloaded() {
    runs(&Case {
        folder: "static-files",
        who: served_by,
        ..CASE
    });
}

#[test]
fn asio_is_served_and_reloaded() {
    runs(&Case {
        folder: "cpp/asio",
        made: || {
            vec![(
                "/server",
                Some(cpp_program(&folder("cpp/asio/server.cpp"), "example-asio")),
            )]
        },
        ..CASE
    });
}

/// `hello from worker 1`.
fn greeting(reply: &Reply) -> String {
    let text = reply.text();
    let worker = text.trim().strip_prefix("hello from worker ");
    worker.unwrap_or_else(|| panic!("{text}")).to_owned()
}

fn slot(reply: &Reply) -> String {
    reply.json()["slot"].as_str().unwrap().to_owned()
}

/// A process, for a program that does not know its slot.
fn served_by(reply: &Reply) -> String {
    assert!(reply.text().contains("<h1>hello</h1>"), "{}", reply.text());
    reply.header("X-Served-By").unwrap().to_owned()
}

/// As the Dockerfile does, without optimization: that compiles sooner.
fn axum_server() -> PathBuf {
    let target = source("target/examples/rust");
    let mut cargo = Command::new("cargo");
    cargo
        .args([
            "build",
            "--quiet",
            "--locked",
            "--offline",
            "--manifest-path",
        ])
        .arg(folder("rust/axum/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target);
    succeeds(&mut cargo);
    target.join("debug/server")
}

fn java_classes() -> PathBuf {
    let classes = scratch("example-classes");
    let mut javac = Command::new("javac");
    javac
        .arg("-d")
        .arg(&classes)
        .arg(folder("java/httpserver/Server.java"));
    succeeds(&mut javac);
    classes
}

fn succeeds(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; run scripts/test-deps"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {said}; scripts/test-deps installs what it needs"
    );
}

/// A web server before php-fpm.
struct Front(Child);

impl Front {
    const PORT: u16 = 8000;

    fn to(fastcgi: u16) -> Self {
        let directory = scratch("front");
        let at = directory.display();
        let file = directory.join("nginx.conf");
        let text = format!(
            "daemon off; master_process off; pid {at}/pid; error_log stderr; events {{ }}\n\
             http {{ access_log off; chunked_transfer_encoding off;\n\
               client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;\n\
               uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
               server {{ listen 127.0.0.1:{port}; location / {{ fastcgi_pass 127.0.0.1:{fastcgi};\n\
                 fastcgi_param REQUEST_METHOD $request_method; fastcgi_param SCRIPT_FILENAME /app/index.php; }} }} }}\n",
            port = Self::PORT
        );
        fs::write(&file, text).unwrap();
        let nginx = Command::new("nginx")
            .args(["-e", "stderr", "-c"])
            .arg(file)
            .spawn();
        let front = Self(nginx.unwrap());
        until("the web server listens", || {
            http_get(v4(Self::PORT), "/").is_ok()
        });
        front
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until all workers have answered, and gives who they are.
#[track_caller]
fn all_answer(port: u16, case: &Case, runtime: &Runtime) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    until("all workers answer", || {
        let reply = http_get(v4(port), "/");
        let reply = reply.unwrap_or_else(|error| panic!("{error}\n{}", runtime.shown()));
        assert_eq!(reply.status, 200, "{}\n{}", reply.text(), runtime.shown());
        seen.insert((case.who)(&reply));
        seen.len() == WORKERS
    });
    seen
}

/// Each worker has a process in `/status`, and series of its own.
#[track_caller]
fn each_worker_is_shown(runtime: &Runtime, port: u16) {
    let processes: BTreeSet<_> = status(runtime)
        .slots
        .into_iter()
        .map(|worker| worker.pid)
        .collect();
    assert_eq!(processes.len(), WORKERS, "{processes:?}");
    assert!(!processes.contains(&None), "{processes:?}");
    let page = runtime.get("/metrics").text();
    for worker in 0..WORKERS {
        let only = format!("{{worker=\"{worker}\"}} ");
        let value = |name: &str| {
            let start = format!("{name}{only}");
            let found = page
                .lines()
                .find_map(|line| line.strip_prefix(&start)?.parse::<f64>().ok());
            found.unwrap_or_else(|| panic!("no {start}: {page}"))
        };
        assert!((value("rpm_worker_up") - 1.0).abs() < f64::EPSILON);
        assert!((value("rpm_worker_in_rotation") - 1.0).abs() < f64::EPSILON);
        assert!(value("rpm_worker_resident_memory_bytes") > 0.0);
        assert!(value("rpm_worker_open_fds") > 0.0);
        let queue = format!(":{port}\",worker=\"{worker}\"}} ");
        let has_queue =
            |line: &str| line.starts_with("rpm_listen_queue_length{") && line.contains(&queue);
        assert!(page.lines().any(has_queue), "no queue of {worker}: {page}");
        let cpu = format!("rpm_worker_cpu_seconds_total{{mode=\"user\",worker=\"{worker}\"}} ");
        assert!(page.contains(&cpu), "{page}");
    }
}

fn runs(case: &Case) {
    own_network();
    let mut deployed = Deployed::new(case.folder, &(case.made)());
    if let Some((name, here)) = case.called {
        deployed = deployed.called(name, here);
    }
    let [bound] = deployed.stage.exposed[..] else {
        panic!("one port: {:?}", deployed.stage.exposed)
    };
    let runtime = deployed
        .runtime()
        .env("RPM_INSTANCES", WORKERS.to_string())
        .env("RPM_MIN_READY", "100ms")
        .start();
    wait_ready(&runtime, WORKERS);
    wait_rotation(&runtime, &[0, 1]);
    let front = case.fastcgi.then(|| Front::to(bound));
    let port = if case.fastcgi { Front::PORT } else { bound };
    let before = all_answer(port, case, &runtime);
    each_worker_is_shown(&runtime, bound);
    let health = &deployed.stage.health[1..];
    let admin = runtime.admin().to_string();
    let mut asked = Command::new(env!("CARGO_BIN_EXE_rpm-runtime"));
    succeeds(asked.args(health).env("RPM_ADMIN_ADDR", admin));

    let clients = |style| {
        let plan = Plan::new(v4(port), 3, style).unchecked().strict();
        Load::run(plan.pace(Pace::Think(Duration::from_millis(2))))
    };
    let loads = [clients(Style::Short), clients(Style::Bounded(20))];
    for load in &loads {
        load.wait_answers(50);
    }
    reload(&runtime);
    for load in &loads {
        load.wait_answers(50);
    }
    for (load, what) in loads
        .into_iter()
        .zip(["a connection each", "kept connections"])
    {
        lost_nothing(what, &load.stop(), &runtime);
    }
    wait_rotation(&runtime, &[0, 1]);
    let after = all_answer(port, case, &runtime);
    let slots = BTreeSet::from(["0", "1"].map(str::to_owned));
    assert!(
        before == slots && after == slots || before.is_disjoint(&after),
        "{before:?} {after:?}"
    );
    each_worker_is_shown(&runtime, bound);
    drop(front);
    stop(runtime);
}

/// log4js in a cluster worker sends its events to the primary, and the runtime writes them.
#[test]
fn lines_of_log4js_of_all_workers_come_out_whole() {
    own_network();
    let case = Case {
        folder: "node/express",
        ..CASE
    };
    let packages = installed("node/express").join("node_modules");
    let deployed = Deployed::new(case.folder, &[("/app/node_modules", Some(packages))]);
    let workers = WORKERS.to_string();
    let prefixed = deployed.runtime().env("RPM_LOG_FORMAT", "prefix");
    let runtime = prefixed.env("RPM_INSTANCES", workers).start();
    wait_ready(&runtime, WORKERS);
    let mut number = 0;
    for worker in 0..WORKERS {
        let slot = format!("[express-example:{worker}]");
        until_some("a line of each worker", || {
            number += 1;
            let reply = http_get(v4(3000), &format!("/greet/n{number}")).ok()?;
            assert_eq!(reply.text(), format!("hello n{number}\n"));
            let texts = runtime.texts();
            texts
                .into_iter()
                .find(|line| line.contains(&slot) && line.contains("[INFO] web - greeting n"))
        });
    }
    stop(runtime);
}

#[test]
fn every_example_that_serves_has_its_test() {
    let here = include_str!("examples.rs");
    // `examples::batch` runs that one.
    let serving = folders().into_iter().filter(|name| name != "batch");
    for name in serving {
        assert!(here.contains(&format!("folder: \"{name}\"")), "{name}");
    }
}
