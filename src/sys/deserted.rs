//! Whether anybody listens at a unix socket that has a path.

use std::io::ErrorKind;
use std::path::Path;

use super::unix::{Address, socket_at};
use super::unix_client::connect_at_once;

/// Whether the socket file at `path` belongs to nobody any more: the kernel refuses clients. Never waits: a listener whose
/// queue is full is alive (EAGAIN, unix(7)).
pub fn is_deserted(path: &Path) -> bool {
    // At a file that is no socket, the kernel refuses clients too.
    if socket_at(path).is_none() {
        return false;
    }
    let client = connect_at_once(&Address::Path(path.to_owned()));
    client.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixListener;

    use nix::errno::Errno;
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
    };

    use super::*;

    #[test]
    fn only_a_socket_at_which_nobody_listens_is_deserted() {
        let place = std::env::temp_dir().join(format!("rpm-deserted-{}", std::process::id()));
        // Left by an earlier process with our PID.
        let _ = fs::remove_dir_all(&place);
        fs::create_dir(&place).unwrap();
        let dead = place.join("dead");
        drop(UnixListener::bind(&dead).unwrap());
        assert!(is_deserted(&dead));
        let alive = place.join("alive");
        let _alive = UnixListener::bind(&alive).unwrap();
        assert!(!is_deserted(&alive));
        let file = place.join("file");
        fs::write(&file, "").unwrap();
        assert!(!is_deserted(&file));
        assert!(!is_deserted(&place.join("nothing")));

        // A listener that takes nobody, with a full queue.
        let frozen = place.join("frozen");
        let address = UnixAddr::new(&frozen).unwrap();
        let open = |flags| socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
        let listener = open(SockFlag::SOCK_CLOEXEC);
        bind(listener.as_raw_fd(), &address).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let clients: Vec<_> = (0..4)
            .map(|_| open(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK))
            .collect();
        let tried = clients
            .iter()
            .map(|client| connect(client.as_raw_fd(), &address));
        let tried: Vec<_> = tried.collect();
        assert_eq!(tried.last(), Some(&Err(Errno::EAGAIN)));
        assert!(!is_deserted(&frozen));
        fs::remove_dir_all(&place).unwrap();
    }
}
