//! Reloads of workers whose processes the runtime cannot inspect: they become another user, and the runtime has only the
//! capabilities that Docker gives, without SYS_PTRACE.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use crate::harness::reloads::reload;
use crate::harness::shared_port::{connect_to, stop, v4, wait_ready};
use crate::harness::status::drains;
use crate::harness::{Builder, Runtime, free_port, scratch};

/// Starts the runtime with Docker's default capabilities. setpriv(1) lowers the bounding set; the capabilities of root
/// follow at exec.
fn with_dockers_capabilities() -> [&'static str; 2] {
    [
        "setpriv",
        "--bounding-set=-all,+chown,+dac_override,+fsetid,+fowner,+mknod,+net_raw,+setgid,+setuid,+setfcap,+setpcap,+net_bind_service,+sys_chroot,+kill,+audit_write",
    ]
}

/// Starts a program whose master is root and whose workers are www-data.
fn service<'a>(instances: u16, words: impl IntoIterator<Item = &'a str>) -> Builder {
    Runtime::builder()
        .under(with_dockers_capabilities())
        .env("RPM_INSTANCES", instances.to_string())
        .env("RPM_READY", "listen")
        .env("RPM_DRAIN_TIMEOUT", "30s")
        .program(words.into_iter().map(str::to_owned))
}

/// `daemon`: the value of the directive. `/slow` takes three seconds: the answer is 3000 bytes at 1000 bytes a second.
pub(super) fn nginx(port: u16, instances: u16, daemon: &str) -> Builder {
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
        "daemon {daemon}; user www-data; worker_processes 2; pid {0}/nginx.pid; error_log stderr;
         events {{ }}
         http {{ access_log off; {temporary}
           server {{ listen 127.0.0.1:{port};
             location /slow {{ limit_rate 1000; return 200 {body}; }}
             location / {{ return 200 ok; }} }} }}\n",
        directory.display()
    );
    let file = directory.join("nginx.conf");
    fs::write(&file, configuration).unwrap();
    service(instances, ["nginx", "-c", &file.display().to_string()])
}

/// Debian's httpd. `/slow` takes three seconds: the answer is 12 KB at 4 KB a second.
fn httpd(port: u16, instances: u16) -> Builder {
    let directory = readable("httpd");
    fs::write(directory.join("slow"), "a".repeat(12_000)).unwrap();
    let modules = ["mpm_event", "authz_core", "ratelimit", "env"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    let configuration = format!(
        "{1}ServerName here\nServerRoot {0}\nDocumentRoot {0}\nMutex pthread\n\
         PidFile {0}/${{RPM_INSTANCE}}-${{RPM_GENERATION}}.pid\n\
         Listen 127.0.0.1:{port}\nUser www-data\nGroup www-data\nErrorLog /dev/stderr\nStartServers 1\n\
         <Location /slow>\nSetOutputFilter RATE_LIMIT\nSetEnv rate-limit 4\n</Location>\n",
        directory.display(),
        modules.concat()
    );
    let file = directory.join("httpd.conf");
    fs::write(&file, configuration).unwrap();
    service(
        instances,
        ["apache2", "-DFOREGROUND", "-f", &file.display().to_string()],
    )
}

/// A directory that www-data may read.
pub(super) fn readable(name: &str) -> PathBuf {
    let directory = scratch(name);
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Debian's php-fpm. The answer of the script takes three seconds.
fn php_fpm(port: u16, instances: u16, directory: &Path) -> Builder {
    let script = "<?php while (ob_get_level()) ob_end_flush(); for ($i = 0; $i < 30; $i++) { echo str_repeat('a', 100); flush(); usleep(100000); }";
    fs::write(directory.join("slow.php"), script).unwrap();
    let configuration = format!(
        "[global]\nerror_log = /dev/stderr\ndaemonize = no\n[www]\nuser = www-data\ngroup = www-data\n\
         listen = 127.0.0.1:{port}\npm = static\npm.max_children = 8\n"
    );
    let file = directory.join("fpm.conf");
    fs::write(&file, configuration).unwrap();
    service(
        instances,
        [PHP_FPM, "-F", "-y", &file.display().to_string()],
    )
}

/// Debian names the program after PHP's version.
pub(super) const PHP_FPM: &str = "php-fpm8.2";

/// A FastCGI request for a script: the records "begin", parameters, no more parameters, no input.
pub(super) fn fastcgi(script: &Path) -> Vec<u8> {
    let record = |kind: u8, body: &[u8]| {
        let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[1, kind, 0, 1, high, low, 0, 0], body].concat()
    };
    let script = script.display().to_string();
    let mut parameters = Vec::new();
    for (name, value) in [
        ("SCRIPT_FILENAME", script.as_str()),
        ("REQUEST_METHOD", "GET"),
    ] {
        parameters.extend([name.len(), value.len()].map(|len| u8::try_from(len).unwrap()));
        parameters.extend_from_slice(name.as_bytes());
        parameters.extend_from_slice(value.as_bytes());
    }
    [
        record(1, &[0, 1, 0, 0, 0, 0, 0, 0]),
        record(4, &parameters),
        record(4, &[]),
        record(5, &[]),
    ]
    .concat()
}

const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";

/// Eight clients send `request`. Reloads while they are answered; each must get at least `bytes` times the letter a.
#[track_caller]
fn no_answer_is_cut(service: Builder, (port, instances): (u16, u16), request: &[u8], bytes: usize) {
    let runtime = service.start();
    wait_ready(&runtime, instances.into());
    // They read meanwhile: a server may wait for the end of its client before it closes.
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = connect_to(v4(port));
            client.write_all(request).unwrap();
            // The answer has begun.
            let mut answer = vec![0];
            client.read_exact(&mut answer).unwrap();
            thread::spawn(move || {
                client.read_to_end(&mut answer)?;
                std::io::Result::Ok(answer)
            })
        })
        .collect();
    reload(&runtime);
    for client in clients {
        let answer = client.join().unwrap();
        let answer = answer.unwrap_or_else(|error| panic!("{error}: {}", runtime.shown()));
        let letters = String::from_utf8_lossy(&answer).matches('a').count();
        assert!(letters >= bytes, "{letters}: {}", runtime.shown());
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

#[test]
fn answers_of_nginx_that_becomes_another_user_are_not_cut_by_a_reload() {
    for instances in [1, 2] {
        let port = free_port();
        no_answer_is_cut(nginx(port, instances, "off"), (port, instances), SLOW, 3000);
    }
}

#[test]
fn answers_of_httpd_that_becomes_another_user_are_not_cut_by_a_reload() {
    for instances in [1, 2] {
        let port = free_port();
        no_answer_is_cut(httpd(port, instances), (port, instances), SLOW, 12_000);
    }
}

#[test]
fn answers_of_php_fpm_that_becomes_another_user_are_not_cut_by_a_reload() {
    for instances in [1, 2] {
        let port = free_port();
        let directory = readable("php-fpm");
        let service = php_fpm(port, instances, &directory);
        let request = fastcgi(&directory.join("slow.php"));
        no_answer_is_cut(service, (port, instances), &request, 3000);
    }
}
