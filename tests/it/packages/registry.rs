//! A registry for npm on loopback: it offers packed files and writes down what was asked for.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::succeed;

/// One package: its manifest, and its archive if it can be downloaded.
pub struct Offer {
    pub manifest: Value,
    pub archive: Option<Vec<u8>>,
}

impl Offer {
    /// What a packed file holds.
    pub fn of(archive: &Path) -> Self {
        let mut command = Command::new("tar");
        command
            .arg("-xzOf")
            .arg(archive)
            .arg("package/package.json");
        Self {
            manifest: serde_json::from_str(&succeed(&mut command)).unwrap(),
            archive: Some(std::fs::read(archive).unwrap()),
        }
    }

    pub fn name(&self) -> &str {
        self.manifest["name"].as_str().unwrap()
    }
}

/// Serves until the process ends: npm keeps its connections.
pub struct Registry {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    pub fn start(offers: Vec<Offer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (offers, shared) = (Arc::new(offers), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (offers, asked) = (Arc::clone(&offers), Arc::clone(&shared));
                thread::spawn(move || answer(&stream.unwrap(), address, &offers, &asked));
            }
        });
        Self { address, asked }
    }

    /// The names of the archives that were downloaded.
    pub fn downloaded(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let archives = asked
            .iter()
            .filter_map(|path| path.strip_prefix("archive/"));
        archives.map(str::to_owned).collect()
    }
}

/// One request on each connection. A client that goes away early is no fault.
fn answer(
    stream: &TcpStream,
    address: SocketAddr,
    offers: &[Offer],
    asked: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    let path = first
        .split(' ')
        .nth(1)?
        .trim_start_matches('/')
        .replace("%2f", "/");
    asked.lock().unwrap().push(path.clone());
    let archive = path.strip_prefix("archive/");
    let name = archive.unwrap_or(&path);
    let offer = offers.iter().find(|offer| offer.name() == name);
    let body = match (offer, archive) {
        (Some(offer), Some(_)) => offer.archive.clone(),
        (Some(offer), None) => Some(document(offer, address).to_string().into_bytes()),
        (None, _) => None,
    };
    let status = if body.is_some() {
        "200 OK"
    } else {
        "404 Not Found"
    };
    let body = body.unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut writer = stream;
    writer.write_all(head.as_bytes()).ok()?;
    writer.write_all(&body).ok()
}

/// What a registry says about a package.
fn document(offer: &Offer, address: SocketAddr) -> Value {
    let version = offer.manifest["version"].as_str().unwrap();
    let mut manifest = offer.manifest.clone();
    manifest["dist"] = json!({"tarball": format!("http://{address}/archive/{}", offer.name())});
    json!({
        "name": offer.name(),
        "dist-tags": {"latest": version},
        "versions": {version: manifest},
    })
}
