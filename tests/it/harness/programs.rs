//! Unmodified programs in several languages, each on a port of its own.

use std::ffi::OsString;
use std::fs;

use super::load::nonce;
use super::{
    Builder, Runtime, asio_server, example, free_port, go_server, netty_server, nodes, scratch,
    source,
};

/// Number of files for a program that serves files and does not return the nonce.
pub const FILES: u64 = 64;

/// An unmodified program on a port of its own, and what a client must know of it.
pub struct Program {
    pub port: u16,
    words: Vec<OsString>,
    /// Whether it serves files whose name and content are the nonces.
    pub files: bool,
}

impl Program {
    fn new(words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            port: free_port(),
            words: words.into_iter().map(Into::into).collect(),
            files: false,
        }
    }

    /// Has no signal handler: SIGTERM ends it at once.
    pub fn node() -> Self {
        Self::new([
            OsString::from("node"),
            source("examples/node/server.js").into(),
        ])
    }

    /// A server with a package: tests/payloads/node/packages.js. Its workers need `NODE_PATH`.
    pub fn package(name: &str) -> Self {
        let file = nodes::payload("packages.js");
        Self::new(["node".into(), file.into_os_string(), name.into()])
    }

    pub fn go() -> Self {
        Self::new([go_server(&scratch("go"))])
    }

    /// Netty with its native transport, which watches its socket before `bind`.
    pub fn netty() -> Self {
        Self::new(netty_server())
    }

    /// Watches its socket before `bind`. Has no signal handler.
    pub fn asio() -> Self {
        Self::new([asio_server()])
    }

    pub fn rust() -> Self {
        Self::new([example("echo_server")])
    }

    /// The server of the standard library, with files whose name and content are the nonces.
    pub fn python_http_server() -> Self {
        let directory = scratch("files");
        for word in (0..FILES).map(nonce) {
            fs::write(directory.join(&word), &word).unwrap();
        }
        let port = free_port();
        let number = port.to_string();
        let start = ["/usr/bin/python3", "-m", "http.server", &number];
        let keep = ["--protocol", "HTTP/1.1", "--directory"];
        let words = start.into_iter().chain(keep).map(OsString::from);
        Self {
            port,
            words: words.chain([directory.into_os_string()]).collect(),
            files: true,
        }
    }

    /// Another Python program.
    pub fn python(payload: &str) -> Self {
        Self::new([OsString::from("/usr/bin/python3"), source(payload).into()])
    }

    /// A program of the JVM on one IPv4 address.
    pub fn java() -> Self {
        Self::new([
            OsString::from("java"),
            source("tests/payloads/Server.java").into(),
        ])
    }

    /// A runtime with `count` workers of it, which are ready when they listen.
    pub fn workers(&self, count: usize) -> Builder {
        Runtime::builder()
            .env("RPM_INSTANCES", count.to_string())
            .env("RPM_READY", "listen")
            .env("PORT", self.port.to_string())
            .program(self.words.clone())
    }
}
