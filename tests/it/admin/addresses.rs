//! Which addresses the admin port has if none is configured. Each runtime has a network of its own, since the port is a
//! fixed one.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::thread;

use crate::harness::{Builder, Runtime, example, http_get};
use nix::sched::{CloneFlags, setns};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A runtime with the default admin address, in a network that this script sets up.
fn service(script: &str) -> Builder {
    let script = format!("ip link set lo up && {script} && exec \"$@\"");
    Runtime::builder()
        .env_remove("RPM_ADMIN_ADDR")
        // Its program serves no port.
        .env("RPM_PORTS", "off")
        .under(["unshare", "--net", "sh", "-c", &script, "sh"])
        .program(["sleep", "1000"])
}

fn open_at(runtime: &Runtime, addr: &str) {
    runtime.wait_for_line(|line| {
        line.contains("admin endpoints") && line.contains(&format!("addr={addr}"))
    });
}

/// Asks the runtime at this address of its own network.
fn status(runtime: &Runtime, ip: IpAddr) -> io::Result<u16> {
    let inside = File::open(format!("/proc/{}/ns/net", runtime.pid())).unwrap();
    let client = thread::spawn(move || {
        setns(inside, CloneFlags::CLONE_NEWNET).unwrap();
        http_get(SocketAddr::from((ip, 9464)), "/livez").map(|reply| reply.status)
    });
    client.join().unwrap()
}

/// `rpm-runtime --healthcheck` beside the runtime, without any variable.
fn is_healthy(runtime: &Runtime) -> bool {
    let net = format!("--net=/proc/{}/ns/net", runtime.pid());
    Command::new("nsenter")
        .args([&net, env!("CARGO_BIN_EXE_rpm-runtime"), "--healthcheck"])
        .status()
        .unwrap()
        .success()
}

#[test]
fn by_default_the_admin_port_answers_ipv6_and_ipv4() {
    // Some hosts keep IPv6 sockets from IPv4 clients.
    let script = "echo 1 > /proc/sys/net/ipv6/bindv6only";
    let runtime = service(script).env("RPM_MIN_UPTIME", "10ms").start();
    open_at(&runtime, "[::]:9464");
    runtime.wait_for_line(|line| line.contains("worker ready"));
    for ip in [V4, V6] {
        assert_eq!(status(&runtime, ip).unwrap(), 200, "{ip}");
    }
    assert!(is_healthy(&runtime));
}

#[test]
fn a_pod_with_ipv6_alone_reaches_the_admin_port() {
    let runtime = service("ip addr del 127.0.0.1/8 dev lo")
        .env("RPM_MIN_UPTIME", "10ms")
        .start();
    open_at(&runtime, "[::]:9464");
    runtime.wait_for_line(|line| line.contains("worker ready"));
    assert_eq!(status(&runtime, V6).unwrap(), 200);
    assert!(status(&runtime, V4).is_err());
    assert!(is_healthy(&runtime));
}

#[test]
fn where_there_is_no_ipv6_the_admin_port_is_that_of_ipv4() {
    // A kernel with ipv6.disable=1 has no socket of that family.
    let without = [example("deny").into(), OsString::from("ipv6")];
    let runtime = service("true")
        .under(without)
        .env("RPM_MIN_UPTIME", "10ms")
        .start();
    open_at(&runtime, "0.0.0.0:9464");
    runtime.wait_for_line(|line| line.contains("worker ready"));
    assert_eq!(status(&runtime, V4).unwrap(), 200);
    assert!(is_healthy(&runtime));
}
