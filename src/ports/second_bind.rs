//! What the kernel would say if one program binds or listens twice at one address. It cannot say it: its descriptors
//! are all of one socket, the worker's listener.

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::model::Pid;
use crate::policy::handover::{PortKey, Reuse};
use crate::sys::proc::Proc;
use crate::sys::remote::Descriptor;

/// Most descriptors of one listener that are remembered.
const DESCRIPTORS: usize = 16;

/// A listener that a worker's program has bound.
#[derive(Debug)]
struct Bound {
    key: PortKey,
    /// The inode of the listener.
    inode: u64,
    /// Options of the sockets that it replaced; set if all of them had it.
    reuse: Reuse,
    /// The descriptors of those sockets, the newest last.
    descriptors: Vec<i32>,
    /// The descriptor with which the program called `listen`.
    listens: Option<i32>,
}

/// The listeners that one worker's processes have bound.
#[derive(Debug, Default)]
pub(super) struct Bounds(Vec<Bound>);

impl Bounds {
    /// Whether the kernel would refuse to bind another socket with these options to `key`: the program has a socket
    /// there. Looks for its descriptors only if it has bound this address before.
    pub fn refuse(&mut self, key: &PortKey, reuse: Reuse, task: i32, leader: Pid) -> bool {
        self.rivals(key, None, task, leader)
            .any(|bound| reuse.refused_by(bound.reuse, bound.listens.is_some()))
    }

    /// The listeners at `key` or at addresses that include it, except `own`, of which the program has a descriptor.
    /// Forgets those that it has closed, as a program does that only looks for a free port.
    fn rivals(
        &mut self,
        key: &PortKey,
        own: Option<u64>,
        task: i32,
        leader: Pid,
    ) -> impl Iterator<Item = &Bound> {
        let known = self.0.iter().filter(|bound| bound.key.conflicts(key));
        let mut rivals: HashSet<u64> = known.map(|bound| bound.inode).collect();
        if let Some(own) = own {
            rivals.remove(&own);
        }
        let open = if rivals.is_empty() {
            HashSet::new()
        } else {
            still_open(&rivals, task, leader)
        };
        self.0
            .retain(|bound| !rivals.contains(&bound.inode) || open.contains(&bound.inode));
        self.0
            .iter()
            .filter(move |bound| open.contains(&bound.inode))
    }

    /// Whether the program had a socket at exactly this address when [`Self::refuse`] looked.
    pub fn has(&self, key: &PortKey) -> bool {
        self.0.iter().any(|bound| bound.key == *key)
    }

    /// The descriptor `fd` of a socket with these options was replaced by the listener `inode` of `key`.
    pub fn add(&mut self, key: PortKey, inode: u64, reuse: Reuse, fd: i32) {
        if let Some(bound) = self.0.iter_mut().find(|bound| bound.inode == inode) {
            bound.reuse.addr &= reuse.addr;
            bound.reuse.port &= reuse.port;
            bound.descriptors.retain(|other| *other != fd);
            if bound.descriptors.len() >= DESCRIPTORS {
                bound.descriptors.remove(0);
            }
            bound.descriptors.push(fd);
            if bound.listens == Some(fd) {
                // The number was closed and used again.
                bound.listens = None;
            }
            return;
        }
        self.0.push(Bound {
            key,
            inode,
            reuse,
            descriptors: vec![fd],
            listens: None,
        });
    }

    /// Whether the kernel would refuse a `listen` with this descriptor of the listener `inode`: another socket of the
    /// program listens there already. Otherwise this one listens from now on.
    pub fn refuse_listen(&mut self, inode: u64, fd: Descriptor, leader: Pid) -> bool {
        let Some(bound) = self.0.iter().find(|bound| bound.inode == inode) else {
            return false;
        };
        let (key, reuse) = (bound.key, bound.reuse);
        // A descriptor that was duplicated or inherited is the same socket.
        let of_another = |first: &i32| {
            *first != fd.fd
                && bound.descriptors.contains(&fd.fd)
                && bound.descriptors.contains(first)
                && (Descriptor { fd: *first, ..fd }).inode() == Ok(inode)
        };
        let twice = !reuse.port && bound.listens.as_ref().is_some_and(of_another);
        let refused = twice
            || self
                .rivals(&key, Some(inode), fd.task, leader)
                .any(|other| other.listens.is_some() && reuse.refused_by(other.reuse, true));
        if !refused && let Some(bound) = self.0.iter_mut().find(|bound| bound.inode == inode) {
            bound.listens = Some(fd.fd);
        }
        refused
    }
}

/// Which of these sockets a process of the worker has open: the caller, or another one. A process that cannot be read
/// counts as one that has none.
pub(super) fn still_open(inodes: &HashSet<u64>, task: i32, leader: Pid) -> HashSet<u64> {
    let proc = Proc::new("/proc");
    let mut open = HashSet::new();
    let mut look = |inode: u64| {
        if inodes.contains(&inode) {
            open.insert(inode);
        }
        if open.len() == inodes.len() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    if let Some(caller) = Pid::new(task) {
        proc.sockets_of(caller, &mut look);
    }
    let rest = if look(0).is_continue() {
        proc.processes().map(|all| all.family(leader)).ok()
    } else {
        None
    };
    for process in rest.iter().flatten() {
        proc.sockets(process, &mut look);
        if look(0).is_break() {
            break;
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    const PLAIN: Reuse = Reuse {
        addr: false,
        port: false,
    };
    const ADDR: Reuse = Reuse {
        addr: true,
        port: false,
    };
    const PORT: Reuse = Reuse {
        addr: true,
        port: true,
    };

    /// A program of this process, which has a listener.
    struct Program {
        bounds: Bounds,
        key: PortKey,
        socket: TcpListener,
        inode: u64,
    }

    impl Program {
        fn new(reuse: Reuse) -> Self {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            let inode = crate::sys::listener::inode(&socket).unwrap();
            let key = PortKey::new(socket.local_addr().unwrap(), false);
            let mut bounds = Bounds::default();
            bounds.add(key, inode, reuse, socket.as_raw_fd());
            Self {
                bounds,
                key,
                socket,
                inode,
            }
        }

        fn refused(&mut self, reuse: Reuse) -> bool {
            let own = i32::try_from(std::process::id()).unwrap();
            self.bounds
                .refuse(&self.key, reuse, own, Pid::new(own).unwrap())
        }

        fn listen(&mut self, fd: i32) -> bool {
            let task = i32::try_from(std::process::id()).unwrap();
            let caller = Descriptor { task, fd };
            self.bounds
                .refuse_listen(self.inode, caller, Pid::new(task).unwrap())
        }
    }

    #[test]
    fn a_second_bind_is_refused_as_the_kernel_refuses_it() {
        for (first, second, listens, refused) in [
            (PLAIN, PLAIN, false, true),
            (ADDR, PLAIN, false, true),
            (ADDR, ADDR, false, false),
            (ADDR, ADDR, true, true),
            (PORT, PORT, true, false),
            (ADDR, PORT, true, true),
        ] {
            let mut program = Program::new(first);
            if listens {
                let fd = program.socket.as_raw_fd();
                assert!(!program.listen(fd));
            }
            assert_eq!(program.refused(second), refused, "{first:?} {second:?}");
        }
    }

    #[test]
    fn a_port_that_was_tried_and_closed_is_free() {
        let mut program = Program::new(PLAIN);
        assert!(program.refused(PLAIN));
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        drop(std::mem::replace(&mut program.socket, free));
        assert!(!program.refused(PLAIN));
        assert!(program.bounds.0.is_empty());
    }

    #[test]
    fn of_two_bound_sockets_only_one_may_listen() {
        let mut program = Program::new(ADDR);
        let first = program.socket.as_raw_fd();
        let copy = program.socket.try_clone().unwrap();
        let second = program.socket.try_clone().unwrap();
        assert!(!program.refused(ADDR));
        program
            .bounds
            .add(program.key, program.inode, ADDR, second.as_raw_fd());
        assert!(!program.listen(first));
        assert!(program.listen(second.as_raw_fd()));
        assert!(!program.listen(first), "it may set its backlog again");
        assert!(!program.listen(copy.as_raw_fd()), "the same socket");
    }
}
