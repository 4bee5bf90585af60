//! The runtime gives no process what the kernel would deny to it: it has more rights than many of them.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use crate::harness::shared_port::{field, stop};
use crate::harness::{Runtime, free_port, source};

/// A free port that everybody but root needs a capability for.
fn low_port() -> u16 {
    let free = |port: &u16| {
        TcpListener::bind(("127.0.0.1", *port)).is_ok()
            && UdpSocket::bind(("127.0.0.1", *port)).is_ok()
    };
    let mut ports = 300 + u16::try_from(std::process::id() % 300).unwrap()..1024;
    ports.find(free).unwrap()
}

/// A directory to which every user has a way.
struct Ground(PathBuf);

impl Ground {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("rpm-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        let this = Self(path);
        this.directory("", 0o755, None);
        this
    }

    fn directory(&self, name: &str, mode: u32, owner: Option<u32>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        chown(&path, owner, owner).unwrap();
        path
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Each process of the payload gets what it would get without us: an error, or a socket of its own. A program that only
/// became another user goes on being served.
#[test]
fn a_process_gets_no_port_and_no_path_that_the_kernel_would_deny_to_it() {
    const NOBODY: u32 = 65534;
    let ground = Ground::new("rights");
    ground.directory("root", 0o755, None);
    ground.directory("sticky", 0o1777, None);
    ground.directory("closed", 0o700, None);
    ground.directory("closed/open", 0o777, None);
    ground.directory("nobody", 0o755, Some(NOBODY));
    let program = ground.0.join("rights.py");
    fs::copy(source("tests/payloads/rights.py"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "1")
        .env("RPM_LOG_FORMAT", "raw")
        .arg("/usr/bin/python3")
        .arg(&program)
        .arg(free_port().to_string())
        .arg(low_port().to_string())
        .arg(&ground.0)
        .start();
    runtime.wait_for_line(|line| line == "result over");
    let texts = runtime.texts();
    let found: BTreeMap<&str, &str> = texts
        .iter()
        .filter_map(|line| line.strip_prefix("result ")?.rsplit_once(' '))
        .collect();
    assert!(
        texts.contains(&"result main shared shared shared shared shared shared".to_owned()),
        "{texts:?}"
    );
    for how in ["tcp", "udp"] {
        for (who, answer) in [
            ("network", "own"),
            ("user", "shared"),
            ("user-low", "EACCES"),
            ("capability-low", "shared"),
            ("bare-root-low", "EACCES"),
            ("other-root-low", "EACCES"),
            ("root-low", "shared"),
        ] {
            let name = format!("{who} {how}");
            assert_eq!(
                found.get(name.as_str()),
                Some(&answer),
                "{name} of {texts:?}"
            );
        }
    }
    for (name, answer) in [
        ("user-in-root unix", "EACCES"),
        ("user-in-sticky unix", "shared"),
        ("user-behind-closed unix", "EACCES"),
        // A relative path begins where it is already.
        ("user-inside-closed unix", "shared"),
        ("bare-root-in-nobodys unix", "EACCES"),
        ("root-in-nobodys unix", "shared"),
        ("user-in-root unlink", "EACCES"),
        ("user-in-sticky unlink", "EPERM"),
        ("user-of-other-in-root unlink", "EACCES"),
        ("user-of-other-in-sticky unlink", "EPERM"),
        ("length 129", "EINVAL"),
        ("length 200", "EINVAL"),
        ("length -1", "EINVAL"),
        ("length 111", "EINVAL"),
    ] {
        assert_eq!(found.get(name), Some(&answer), "{name} of {texts:?}");
    }
    let of_network = found.get("root socket-of-network");
    assert!(matches!(of_network, Some(&("own" | "unseen"))), "{texts:?}");
    for kept in ["root/kept.sock", "sticky/kept.sock"] {
        assert!(ground.0.join(kept).exists(), "{kept}");
    }
    stop(runtime);
}

/// The worker as a whole: it is ready with a socket of its own, and the log says why the port is not shared.
#[test]
fn a_worker_in_another_network_serves_there_alone_and_the_log_says_so() {
    let port = free_port();
    let program = format!(
        "import socket, subprocess\n\
         subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)\n\
         s = socket.socket()\n\
         s.bind(('127.0.0.1', {port}))\n\
         s.listen()\n\
         c = socket.create_connection(('127.0.0.1', {port}))\n\
         s.accept()\n\
         print('served', flush=True)\n\
         while True: s.accept()\n"
    );
    let runtime = Runtime::builder()
        .env("RPM_INSTANCES", "2")
        .env("RPM_READY", "listen")
        .program(["unshare", "--net", "/usr/bin/python3", "-c", &program])
        .start();
    runtime.wait_for_lines(2, |line| line == "served");
    runtime.wait_for_lines(2, |line| line.contains("worker ready"));
    let lines = runtime.wait_for_lines(2, |line| line.contains("cannot share a port"));
    for line in lines {
        assert!(line.contains("another network namespace"), "{line}");
        assert_eq!(field(&line, "port"), format!("127.0.0.1:{port}"));
    }
    // Nobody listens there in the network of the runtime.
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
    stop(runtime);
}
