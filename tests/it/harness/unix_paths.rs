//! Unmodified programs that listen on a unix path, and clients of such a path.

use std::ffi::OsString;
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::{Builder, Connection, Reply, Runtime, go_build, patience, scratch, source};

/// An unmodified program on a unix path of its own.
pub struct UnixProgram {
    pub path: PathBuf,
    words: Vec<OsString>,
}

impl UnixProgram {
    fn new(path: PathBuf, words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            path,
            words: words.into_iter().map(Into::into).collect(),
        }
    }

    /// Has no signal handler: SIGTERM ends it at once, and its path stays.
    pub fn node(name: &str) -> Self {
        let path = socket_path(name);
        let server = source("tests/payloads/unix/server.js");
        let words = ["node".into(), server.into_os_string(), path.clone().into()];
        Self::new(path, words)
    }

    /// As `node`, in Python.
    pub fn socketserver(name: &str) -> Self {
        let path = socket_path(name);
        let server = source("tests/payloads/unix/server.py");
        let python = OsString::from("/usr/bin/python3");
        let words = [python, server.into_os_string(), path.clone().into()];
        Self::new(path, words)
    }

    /// Removes its path at SIGTERM, by the address that its socket reports.
    pub fn go(name: &str) -> Self {
        let path = socket_path(name);
        let from = source("tests/payloads/unix/go");
        let server = go_build(&from, Path::new("."), &scratch(name), &[]);
        Self::new(path.clone(), [server, path])
    }

    /// Removes its path at SIGTERM, and fails if it is gone already.
    pub fn gunicorn(name: &str) -> Self {
        let path = socket_path(name);
        let bind = format!("unix:{}", path.display());
        Self::new(path, ["gunicorn", "--bind", &bind, "app:application"])
    }

    /// Changes the mode of its path after it listens.
    pub fn uvicorn(name: &str) -> Self {
        let path = socket_path(name);
        let start = ["uvicorn", "--log-level", "warning", "--uds"].map(OsString::from);
        let words = start.into_iter().chain([
            path.clone().into(),
            "--app-dir".into(),
            source("tests/payloads/unix").into(),
            "asgi:application".into(),
        ]);
        Self::new(path, words)
    }

    /// A runtime with `count` workers of it.
    pub fn workers(&self, count: usize) -> Builder {
        Self::started_by(count, self.words.clone())
    }

    /// As [`Self::workers`], started by another command.
    pub fn started_by(count: usize, words: Vec<OsString>) -> Builder {
        Runtime::builder()
            .env("RPM_INSTANCES", count.to_string())
            .env("RPM_READY", "listen")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .directory(source("tests/payloads"))
            .program(words)
    }

    /// Its command.
    pub fn words(&self) -> Vec<OsString> {
        self.words.clone()
    }

    /// The directory of the path.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap()
    }
}

/// A path in a new directory. It is short, because an address has at most 107 bytes.
pub fn socket_path(name: &str) -> PathBuf {
    scratch(name).join("a.sock")
}

/// A connection to a unix path. The type is that of a TCP connection; what is used of it works with a unix socket too.
pub fn connect_to_path(path: &Path) -> io::Result<TcpStream> {
    let stream = TcpStream::from(OwnedFd::from(UnixStream::connect(path)?));
    stream.set_read_timeout(Some(patience()))?;
    stream.set_write_timeout(Some(patience()))?;
    Ok(stream)
}

/// One request on a new connection, closed after the answer.
pub fn get_path(path: &Path) -> io::Result<Reply> {
    Connection::from(connect_to_path(path)?).request("/?nonce=n", &["Connection: close"])
}
