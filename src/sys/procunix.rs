//! The kernel's unix sockets from /proc/net/unix (proc(5)): everybody may read it, and it needs no kernel module.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use super::proc::Proc;

/// State of a socket (`SS_*` of linux/net.h) that is connected, and accepted if it is the server's.
const CONNECTED: &[u8] = b"03";

/// One socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// SOCK_STREAM (1), SOCK_DGRAM (2) or SOCK_SEQPACKET (5).
    pub kind: u32,
    /// It is one end of a connection.
    pub connected: bool,
    /// The inode; 0 while it waits in the queue of a listener.
    pub inode: u64,
    /// The address, empty if it has none. An accepted socket has that of its listener. An abstract one begins with `@`.
    pub address: &'a OsStr,
}

/// Calls `row` with every unix socket of our network namespace.
pub fn dump(proc: &Proc, mut row: impl FnMut(Row<'_>)) -> io::Result<()> {
    let mut text = Vec::new();
    io::Read::read_to_end(&mut proc.net("unix")?, &mut text)?;
    // The first line is the heading. An address may contain a newline; the rest of it is then no valid line.
    for line in text.split(|byte| *byte == b'\n').skip(1) {
        if let Some(found) = parse(line) {
            row(found);
        }
    }
    Ok(())
}

fn parse(line: &[u8]) -> Option<Row<'_>> {
    let mut rest = line;
    let mut fields = [&line[..0]; 7];
    for field in &mut fields {
        let begin = rest.iter().position(|byte| *byte != b' ')?;
        let from = rest.get(begin..)?;
        let end = from.iter().position(|byte| *byte == b' ');
        let (word, behind) = from.split_at_checked(end.unwrap_or(from.len()))?;
        (*field, rest) = (word, behind);
    }
    let [_number, _references, _protocol, _flags, kind, state, inode] = fields;
    let kind = std::str::from_utf8(kind).ok()?;
    let inode = std::str::from_utf8(inode).ok()?.parse().ok()?;
    Some(Row {
        kind: u32::from_str_radix(kind, 16).ok()?,
        connected: state == CONNECTED,
        inode,
        address: OsStr::from_bytes(rest.strip_prefix(b" ").unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;
    use crate::sys::listener::inode;

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let line = b"00000000858f0662: 00000003 00000000 00000000 0001 03 19916075 /tmp/a b";
        let row = parse(line).unwrap();
        assert_eq!((row.kind, row.connected, row.inode), (1, true, 19_916_075));
        assert_eq!(row.address, "/tmp/a b");
        let line = b"00000000858f0662: 00000003 00000000 00000000 0005 02     0 @name";
        let row = parse(line).unwrap();
        assert_eq!((row.kind, row.connected, row.inode), (5, false, 0));
        assert_eq!(row.address, "@name");
        let line = b"000000006433de1e: 00000003 00000000 00000000 0001 03 19915306";
        assert_eq!(parse(line).unwrap().address, "");
        assert_eq!(parse(b"Num RefCount"), None);
    }

    #[test]
    fn an_accepted_connection_has_its_listeners_address() {
        let directory = std::env::temp_dir().join(format!("rpm-procunix-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("a.sock");
        // Left by an earlier process with our PID.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        let rows = || {
            let mut found = Vec::new();
            let add = |row: Row<'_>| {
                if row.address == path {
                    found.push((row.inode, row.connected));
                }
            };
            dump(&Proc::new("/proc"), add).unwrap();
            found.sort_unstable();
            found
        };
        let own = inode(&listener).unwrap();
        assert_eq!(rows(), [(0, false), (own, false)]);
        let (server, _) = listener.accept().unwrap();
        let mut expected = [(own, false), (inode(&server).unwrap(), true)];
        expected.sort_unstable();
        assert_eq!(rows(), expected);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
