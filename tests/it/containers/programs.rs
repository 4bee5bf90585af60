//! PID 1 of real containers with unmodified programs in many languages, without any privilege: no capability, no new
//! privileges, the default seccomp profile, a read-only root, any uid.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::containers::{Container, Engine, Root, build_dockerfile, payloads};
use crate::harness::datagrams::Asker;
use crate::harness::unix_paths::get_path;
use crate::harness::{Reply, children, descendants, http_get, scratch, source, until, until_some};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const WORKERS: usize = 4;

/// A program of the table.
struct Case {
    root: Root,
    command: &'static [&'static str],
    environment: &'static [&'static str],
    /// Returns which worker answered.
    who: fn(&Reply) -> i64,
}

const STATIC: Case = Case {
    root: Root::Empty,
    command: &[],
    environment: &[],
    who: Reply::pid,
};
const DYNAMIC: Case = Case {
    root: Root::Machine,
    ..STATIC
};

macro_rules! cases {
    ($($name:ident: $case:expr;)*) => {
        $(#[test]
        fn $name() {
            serves(stringify!($name), &$case);
        })*
    };
}

cases! {
    rust_static: Case { command: &["/app/echo_server"], ..STATIC };
    // It watches its socket before `bind`.
    asio_static: Case { command: &["/app/asio_server"], environment: &["PORT=3000"], ..STATIC };
    go_static: Case { command: &["/app/go_server"], ..STATIC };
    node: Case { command: &["node", "server.js"], ..DYNAMIC };
    python: Case { command: &["/usr/bin/python3", "server.py"], ..DYNAMIC };
    // It lists its own threads, which shows its PID.
    python_http_server: Case {
        command: &["/usr/bin/python3", "-m", "http.server", "3000", "--directory", "/proc/self/task"],
        who: first_link,
        ..DYNAMIC
    };
    ruby: Case { command: &["/usr/bin/ruby", "server.rb"], ..DYNAMIC };
    // The shell stays: the server is its child.
    shell: Case { command: &["sh", "-c", "cd /app && node server.js"], ..DYNAMIC };
    npm_start: Case {
        command: &["npm", "start"],
        environment: &["npm_config_cache=/tmp/npm", "npm_config_update_notifier=false"],
        ..DYNAMIC
    };
}

/// The lowest number to which a directory listing links.
fn first_link(reply: &Reply) -> i64 {
    let text = reply.text();
    let links = text.split("href=\"").skip(1);
    links
        .filter_map(|link| link.split('/').next()?.parse().ok())
        .min()
        .unwrap_or_else(|| panic!("no link: {text}"))
}

/// Sends requests until `count` different workers have answered.
fn askers(container: &Container, who: fn(&Reply) -> i64, count: usize) -> BTreeSet<i64> {
    let mut seen = BTreeSet::new();
    until(&format!("{count} workers answer"), || {
        seen.extend(
            container
                .inside(|| http_get("127.0.0.1:3000", "/"))
                .iter()
                .map(who),
        );
        seen.len() >= count
    });
    seen
}

fn words(options: &[&str], rest: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    options
        .iter()
        .map(|word| (*word).to_owned())
        .chain(rest.into_iter().map(Into::into))
        .collect()
}

fn serves(name: &str, case: &Case) {
    let engine = Engine::new();
    let image = payloads(&engine);
    let instances = format!("RPM_INSTANCES={WORKERS}");
    let environment = case.environment.iter().copied().chain([instances.as_str()]);
    let options: Vec<&str> = environment
        .flat_map(|entry| ["--env", entry])
        .chain(case.root.options().iter().copied())
        .collect();
    let fixed = ["--user", "65534:65534", image];
    let rest = fixed.iter().chain(case.command).copied();
    let container = Container::start(&engine, name, &words(&options, rest));

    is_confined(&container);
    let first = askers(&container, case.who, WORKERS);
    assert_eq!(children(container.pid).len(), WORKERS, "workers of {name}");
    assert_eq!(
        container
            .inside(|| http_get("127.0.0.1:9464", "/readyz"))
            .unwrap()
            .status,
        200
    );

    // A worker that dies is replaced, and nothing of it remains.
    let victim = children(container.pid)[0].pid;
    kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    let replaced = || {
        let now = children(container.pid);
        now.len() == WORKERS
            && now
                .iter()
                .all(|process| process.pid != victim && !process.is_zombie())
    };
    until("the dead worker is replaced", replaced);
    askers_beside(&container, case.who, &first);
    until("no zombies", || {
        descendants(container.pid)
            .iter()
            .all(|process| !process.is_zombie())
    });

    assert_eq!(container.stop(20), 0, "exit code of {name}");
}

/// UDP ports are shared and reloaded without any privilege too.
#[test]
fn udp_in_python() {
    const CODE: &str = "import os, socket\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.bind(('0.0.0.0', 5300))\n\
        slot = os.environ['NODE_APP_INSTANCE'].encode()\n\
        while True:\n\
        \x20   word, client = s.recvfrom(2048)\n\
        \x20   s.sendto(b'%d %s %s' % (os.getpid(), slot, word), client)\n";
    let engine = Engine::new();
    let image = payloads(&engine);
    let options = ["--env", "RPM_INSTANCES=3", "--env", "RPM_MIN_READY=0s"];
    let options: Vec<&str> = options
        .into_iter()
        .chain(Root::Machine.options().iter().copied())
        .collect();
    let rest = [
        "--user",
        "65534:65534",
        image,
        "/usr/bin/python3",
        "-c",
        CODE,
    ];
    let container = Container::start(&engine, "udp", &words(&options, rest));
    is_confined(&container);
    let ask = || container.inside(|| Asker::new(([127, 0, 0, 1], 5300).into()).ask());
    let mut pids = BTreeSet::new();
    until("all workers answer", || {
        pids.extend(ask().map(|(pid, _)| pid));
        pids.len() == 3
    });
    kill(Pid::from_raw(container.pid), Signal::SIGHUP).unwrap();
    let mut new = BTreeSet::new();
    until("all new workers answer", || {
        let (pid, _) = ask().expect("an answer, in a reload too");
        new.extend((!pids.contains(&pid)).then_some(pid));
        new.len() == 3
    });
    assert_eq!(container.stop(20), 0);
}

/// Sends requests until a worker answers that had not answered before.
/// A Python program on a unix path in the container's own `/tmp`; `after` follows its `listen`.
fn unix_program(after: &str) -> String {
    format!(
        "import os, socket\n\
         path = '/tmp/a.sock'\n\
         if os.path.exists(path): os.unlink(path)\n\
         s = socket.socket(socket.AF_UNIX)\n\
         s.bind(path)\n\
         s.listen(64)\n\
         {after}\n\
         while True:\n\
         \x20   c, _ = s.accept()\n\
         \x20   c.recv(2048)\n\
         \x20   body = b'{{\"pid\": %d, \"nonce\": \"n\"}}' % os.getpid()\n\
         \x20   c.sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body) + body)\n\
         \x20   c.close()\n"
    )
}

/// Three workers serve the path, a reload refuses nobody, and the dead worker's place is taken.
fn serves_a_unix_path(container: &Container) {
    let path = format!("/proc/{}/root/tmp/a.sock", container.pid);
    let ask = || get_path(Path::new(&path)).map(|reply| reply.pid());
    let mut pids = BTreeSet::new();
    until("all workers answer", || {
        pids.extend(ask());
        pids.len() == 3
    });
    kill(Pid::from_raw(container.pid), Signal::SIGHUP).unwrap();
    let mut new = BTreeSet::new();
    until("all new workers answer", || {
        let pid = ask().expect("an answer, in a reload too");
        new.extend((!pids.contains(&pid)).then_some(pid));
        new.len() == 3
    });
    until("the old workers have ended", || {
        children(container.pid).len() == 3
    });
    let victim = children(container.pid)[0].pid;
    kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    until("another worker answers", || {
        ask().is_ok_and(|pid| !new.contains(&pid))
    });
    assert_eq!(container.stop(20), 0);
}

/// Paths need hard links, renames and the trap of unlink, and no privilege.
#[test]
fn a_unix_path_in_python() {
    let engine = Engine::new();
    let image = payloads(&engine);
    let options = ["--env", "RPM_INSTANCES=3", "--env", "RPM_MIN_READY=0s"];
    let options: Vec<&str> = options
        .into_iter()
        .chain(Root::Machine.options().iter().copied())
        .collect();
    let code = unix_program("");
    let program = [
        "--user",
        "65534:65534",
        image,
        "/usr/bin/python3",
        "-c",
        &code,
    ];
    let container = Container::start(&engine, "unix", &words(&options, program));
    is_confined(&container);
    serves_a_unix_path(&container);
}

/// As root with the capabilities that Docker gives. The program gives its path to another user and becomes that user.
#[test]
fn a_unix_path_of_a_program_that_becomes_another_user() {
    const CAPABILITIES: &str = "CHOWN,DAC_OVERRIDE,FSETID,FOWNER,MKNOD,NET_RAW,SETGID,SETUID,SETFCAP,SETPCAP,NET_BIND_SERVICE,SYS_CHROOT,KILL,AUDIT_WRITE";
    let engine = Engine::new();
    let image = payloads(&engine);
    let options = [
        "--env",
        "RPM_INSTANCES=3",
        "--env",
        "RPM_MIN_READY=0s",
        "--cap-add",
        CAPABILITIES,
    ];
    let options: Vec<&str> = options
        .into_iter()
        .chain(Root::Machine.options().iter().copied())
        .collect();
    let code = unix_program("os.chown(path, 33, 33); os.setgid(33); os.setuid(33)");
    let program = [image, "/usr/bin/python3", "-c", &code];
    let container = Container::start(&engine, "unix-user", &words(&options, program));
    serves_a_unix_path(&container);
}

fn askers_beside(container: &Container, who: fn(&Reply) -> i64, before: &BTreeSet<i64>) {
    until("the successor answers", || {
        container
            .inside(|| http_get("127.0.0.1:3000", "/"))
            .is_ok_and(|reply| !before.contains(&who(&reply)))
    });
}

/// Checks the container: the runtime is PID 1, and it has no privilege.
fn is_confined(container: &Container) {
    // Before that it is runc, which becomes the runtime.
    until("PID 1 is the runtime", || {
        let executable = fs::read_link(format!("/proc/{}/exe", container.pid)).unwrap();
        executable.ends_with("rpm-runtime")
    });
    assert_eq!(container.status("NSpid"), "1");
    assert_eq!(container.status("CapEff"), "0000000000000000");
    assert_eq!(container.status("CapBnd"), "0000000000000000");
    assert_eq!(container.status("NoNewPrivs"), "1");
    assert_eq!(container.status("Seccomp"), "2");
}

/// The package's Dockerfile builds an image that has the right metadata and serves as the user that it names.
#[test]
fn dockerfile() {
    let engine = Engine::new();
    let payload = engine.directory().join("context/app/echo_server");
    payloads(&engine);
    let image = build_dockerfile(&engine);
    let inspect = |format: &str| engine.expect(["image", "inspect", "--format", format, image]);
    assert_eq!(inspect("{{.Config.User}}"), "65532:65532");
    assert_eq!(inspect("{{.Config.Entrypoint}}"), "[/rpm-runtime]");
    assert_eq!(
        inspect("{{.HealthCheck.Test}}"),
        "[CMD /rpm-runtime --healthcheck]"
    );
    for label in [
        "title",
        "description",
        "source",
        "documentation",
        "licenses",
        "version",
        "revision",
    ] {
        let value = inspect(&format!(
            "{{{{index .Labels \"org.opencontainers.image.{label}\"}}}}"
        ));
        assert!(
            !value.is_empty() && value != "<no value>",
            "label {label}: {value:?}"
        );
    }

    let label = "{{index .Labels \"org.opencontainers.image.version\"}}";
    assert_eq!(inspect(label), env!("CARGO_PKG_VERSION"));
    println!("the image has {} bytes", inspect("{{.Size}}"));

    let volume = format!("{}:/server:ro", payload.display());
    let rest = [
        "--env",
        "RPM_INSTANCES=4",
        "--volume",
        &volume,
        image,
        "/server",
    ];
    let container = Container::start(&engine, "dockerfile", &words(&[], rest));
    is_confined(&container);
    askers(&container, Reply::pid, WORKERS);
    let healthy = until_some("the health check passes", || {
        Some(container.exec(&["/rpm-runtime", "--healthcheck"]))
            .filter(|output| output.status.success())
    });
    assert!(
        healthy.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&healthy.stderr)
    );
    let said = container.exec(&["/rpmctl", "--version"]);
    let version = format!("rpmctl {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&said.stdout), version);
    let licences = scratch("dockerfile-licences");
    let from = format!("{}:/licenses", container.name);
    engine.expect(["cp", &from, licences.to_str().unwrap()]);
    let licences = licences.join("licenses");
    for name in ["LICENSE", "LICENSE-APACHE", "LICENSE-MIT"] {
        assert!(fs::read(licences.join(name)).unwrap() == fs::read(source(name)).unwrap());
    }
    let others = fs::read_to_string(licences.join("THIRD-PARTY")).unwrap();
    assert!(others.contains("BSD-3-Clause"), "{others}");
    serves_when_copied(&engine, image, &payload);
    assert_eq!(container.stop(20), 0, "{}", container.logs());
}

/// What README says: one line takes the binary into an image with a program.
fn serves_when_copied(engine: &Engine, built: &str, server: &Path) {
    let context = scratch("copied-from");
    fs::copy(server, context.join("server")).unwrap();
    let file = format!(
        "FROM scratch\nCOPY --from={built} /rpm-runtime /usr/local/bin/\nCOPY server /\nENV PATH=/usr/local/bin\nENTRYPOINT [\"rpm-runtime\"]\nCMD [\"/server\"]\n"
    );
    fs::write(context.join("Dockerfile"), file).unwrap();
    let tag = "localhost/rpm-copied-from";
    engine.build(tag, &context);
    let rest = ["--env", "RPM_INSTANCES=4", "--user", "12345:0", tag];
    let container = Container::start(engine, "copied-from", &words(&[], rest));
    is_confined(&container);
    askers(&container, Reply::pid, WORKERS);
    assert_eq!(container.stop(20), 0, "{}", container.logs());
}
