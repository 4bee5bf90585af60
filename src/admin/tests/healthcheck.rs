use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use crate::admin::healthcheck;

use super::{PATIENCE, Server, roomy};

#[test]
fn the_healthcheck_follows_readiness() {
    let server = Server::start(roomy());
    assert_eq!(healthcheck(server.addr, PATIENCE), Ok(()));
    let everywhere = [
        SocketAddr::from(([0, 0, 0, 0], server.addr.port())),
        // No process listens on ::1; the second attempt finds the server.
        SocketAddr::from(([0_u16; 8], server.addr.port())),
    ];
    for addr in everywhere {
        assert_eq!(healthcheck(addr, PATIENCE), Ok(()));
    }
    server.change(|snapshot| snapshot.ready = false);
    let error = healthcheck(server.addr, PATIENCE).unwrap_err();
    assert!(
        error.contains("answered 503: {\"state\":\"running\""),
        "{error}"
    );
}

#[test]
fn the_healthcheck_names_what_went_wrong() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mute = healthcheck(addr, Duration::from_millis(50)).unwrap_err();
    assert_eq!(mute, format!("{addr} did not answer within 50ms"));
    let rude = std::thread::spawn(move || {
        // The first connection in the queue is the one that gave up.
        let _ = listener.accept().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        stream.write_all(b"220 smtp.example.org\r\n").unwrap();
    });
    let error = healthcheck(addr, PATIENCE).unwrap_err();
    assert_eq!(error, format!("{addr} does not speak HTTP"));
    rude.join().unwrap();
    let error = healthcheck(addr, PATIENCE).unwrap_err();
    assert!(
        error.starts_with(&format!("cannot connect to {addr}: ")),
        "{error}"
    );
}
