//! Reloads of workers whose processes the runtime cannot inspect: they become another user, and the runtime has only the
//! capabilities that Docker gives, without SYS_PTRACE.

use std::fs;
use std::io::Write;

use crate::harness::reloads::reload;
use crate::harness::shared_port::{connect_to, stop, v4, wait_ready};
use crate::harness::status::drains;
use crate::harness::{Builder, Connection, Runtime, free_port, http_get, scratch};

/// Starts the runtime with Docker's default capabilities. setpriv(1) lowers the bounding set; the capabilities of root
/// follow at exec.
fn with_dockers_capabilities() -> [&'static str; 2] {
    [
        "setpriv",
        "--bounding-set=-all,+chown,+dac_override,+fsetid,+fowner,+mknod,+net_raw,+setgid,+setuid,+setfcap,+setpcap,+net_bind_service,+sys_chroot,+kill,+audit_write",
    ]
}

/// A root master with workers of www-data. `/slow` takes three seconds: the answer is 3000 bytes at 1000 bytes a second.
fn nginx(port: u16, instances: u16) -> Builder {
    let directory = scratch("nginx");
    let temporary = |name: &str| {
        let path = directory.join(name).display().to_string();
        format!("{name}_temp_path {path};")
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(temporary)
        .concat();
    let body = "a".repeat(3000);
    let configuration = format!(
        "daemon off; user www-data; worker_processes 2; pid {0}/nginx.pid; error_log stderr;
         events {{ }}
         http {{ access_log off; {temporary}
           server {{ listen 127.0.0.1:{port};
             location /slow {{ limit_rate 1000; return 200 {body}; }}
             location / {{ return 200 ok; }} }} }}\n",
        directory.display()
    );
    let file = directory.join("nginx.conf");
    fs::write(&file, configuration).unwrap();
    Runtime::builder()
        .under(with_dockers_capabilities())
        .env("RPM_INSTANCES", instances.to_string())
        .env("RPM_READY", "listen")
        .env("RPM_DRAIN_TIMEOUT", "30s")
        .program(["nginx", "-c", &file.display().to_string()])
}

fn asks_slowly(port: u16) -> Connection {
    let mut client = connect_to(v4(port));
    client
        .write_all(b"GET /slow HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        .unwrap();
    client.into()
}

#[test]
fn answers_of_nginx_that_becomes_another_user_are_not_cut_by_a_reload() {
    for instances in [1, 2] {
        let port = free_port();
        let runtime = nginx(port, instances).start();
        wait_ready(&runtime, instances.into());
        assert_eq!(http_get(v4(port), "/").unwrap().status, 200);
        let mut clients: Vec<Connection> = (0..8).map(|_| asks_slowly(port)).collect();
        reload(&runtime);
        for client in &mut clients {
            let reply = client
                .reply()
                .unwrap_or_else(|error| panic!("{error}: {}", runtime.shown()));
            assert_eq!(reply.text().len(), 3000);
        }
        assert_eq!(drains(&runtime, "empty"), u32::from(instances));
        runtime.wait_for_line(|line| {
            line.contains("cannot inspect a process of a worker") && line.contains("SYS_PTRACE")
        });
        let ends = runtime.wait_for_lines(instances.into(), |line| {
            line.contains("no connections left")
        });
        assert!(
            ends.iter()
                .any(|line| line.contains("connections of no visible process"))
        );
        stop(runtime);
    }
}
