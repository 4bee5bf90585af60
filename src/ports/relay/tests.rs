//! Tests on real sockets, on addresses that no other test binds.

use std::io::{Read, Write};
use std::net::{TcpListener as StdListener, TcpStream as StdStream};

use tokio::runtime::Builder;

use super::*;
use crate::ports::testing::PATIENCE;

#[test]
fn a_connection_on_which_nothing_is_said_ends() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let pair = || {
        let listener = StdListener::bind("127.73.0.7:0").unwrap();
        let near = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        near.set_read_timeout(Some(PATIENCE)).unwrap();
        let (far, _) = listener.accept().unwrap();
        far.set_nonblocking(true).unwrap();
        (near, far)
    };
    let ((mut client, ours), (mut server, theirs)) = (pair(), pair());
    client.write_all(b"hello").unwrap();
    runtime.block_on(async {
        let [ours, theirs] = [ours, theirs].map(|one| TcpStream::from_std(one).unwrap());
        relay(ours, theirs, Duration::from_millis(20)).await;
    });
    let mut heard = String::new();
    server.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "hello");
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}
