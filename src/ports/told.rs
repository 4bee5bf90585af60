//! The socket options that a worker sets between `socket` and `bind`. They would be lost with the socket that is
//! replaced, and some of them decide whether the `bind` succeeds.

use std::collections::VecDeque;
use std::os::fd::AsFd;

use crate::model::ListenerId;
use crate::policy::handover::Reuse;
use crate::sys::guarded::{ATTACH_BPF, ATTACH_FILTER, DETACH_FILTER, LOCK_FILTER};
use crate::sys::intercept::Notification;
use crate::sys::remote;
use crate::sys::rights::{allows_congestion_control, rights};
use crate::sys::sockopt::{
    BUFFER_LOCK, CONGESTION, DEVICE, JOINS, Joined, LONGEST, OptionId, RECEIVE_BUFFER_FORCED,
    REUSE_ADDR, REUSE_PORT, SEND_BUFFER_FORCED, SocketOption, V6ONLY,
};

use super::group::Group;
use super::guarded::{is_steering, keeps_away};
use super::trapped_call::descriptor;

/// Most sockets of one worker whose options are remembered. Needed because Go sets IPV6_V6ONLY on every outgoing IPv6
/// connection too.
const SOCKETS: usize = 64;

/// Most options of one socket; more than there are in [`crate::sys::sockopt::REPORTED`] is never needed.
const OPTIONS: usize = 32;

/// `net.ipv6.bindv6only`: the default of IPV6_V6ONLY. The file is absent without IPv6.
pub(super) fn v6only_default() -> bool {
    std::fs::read("/proc/sys/net/ipv6/bindv6only").is_ok_and(|value| value.first() == Some(&b'1'))
}

/// The options of one socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    set: Vec<SocketOption>,
    /// Its `bind` was refused. It may try again, but most programs close it.
    refused: bool,
}

impl Options {
    fn number(&self, id: OptionId) -> Option<i32> {
        let found = self.set.iter().find(|option| option.id() == id);
        found.map(SocketOption::as_number)
    }

    /// IPV6_V6ONLY, if the program set it.
    pub fn v6only(&self) -> Option<bool> {
        self.number(V6ONLY).map(|value| value != 0)
    }

    /// SO_REUSEADDR and SO_REUSEPORT.
    pub fn reuse(&self) -> Reuse {
        let on = |id| self.number(id).is_some_and(|on| on != 0);
        Reuse {
            addr: on(REUSE_ADDR),
            port: on(REUSE_PORT),
        }
    }

    /// Whether the socket belongs to one network device (SO_BINDTODEVICE).
    fn has_device(&self) -> bool {
        // An empty name takes the socket from its device.
        self.number(DEVICE)
            .is_some_and(|name| name.to_ne_bytes()[0] != 0)
    }

    /// Why such a socket cannot be shared, if it cannot.
    pub fn unshareable(&self) -> Option<&'static str> {
        if self.has_device() {
            Some("its socket is bound to one network device (SO_BINDTODEVICE)")
        } else if self.is_in_group() {
            Some("its socket is in a multicast group, whose datagrams reach every worker")
        } else {
            self.set.iter().find_map(|option| keeps_away(option.id()))
        }
    }

    /// Whether the socket has joined a multicast group.
    fn is_in_group(&self) -> bool {
        self.set.iter().any(|option| JOINS.contains(&option.id()))
    }

    /// The options to set on the socket that replaces the program's. The others are what the runtime chooses, or belong
    /// to the `bind`.
    pub fn carried(&self) -> impl Iterator<Item = &SocketOption> {
        self.set.iter().filter(|option| {
            let own = [REUSE_ADDR, REUSE_PORT, DEVICE, V6ONLY];
            !own.contains(&option.id())
                && !JOINS.contains(&option.id())
                && keeps_away(option.id()).is_none()
        })
    }
}

/// Whether the kernel lets this thread set the option. The runtime sets it on the listener, and may be allowed more.
fn may_set(task: i32, option: &SocketOption) -> bool {
    let free = match option.id() {
        SEND_BUFFER_FORCED | RECEIVE_BUFFER_FORCED => false,
        CONGESTION => allows_congestion_control(option.value()),
        _ => true,
    };
    free || rights(Some(task)).is_ok_and(|rights| rights.administers_network())
}

/// Arguments are 64-bit registers; an `int` is the lower half.
fn low(argument: u64) -> u32 {
    u32::try_from(argument & u64::from(u32::MAX)).unwrap_or(0)
}

/// The option that a call of setsockopt(2) sets.
pub(super) fn option_of(notification: &Notification) -> OptionId {
    let [_, level, name, ..] = notification.args;
    (low(level).cast_signed(), low(name).cast_signed())
}

/// What a worker's processes set on their sockets, oldest socket first.
#[derive(Debug, Default)]
pub(super) struct Told {
    sockets: VecDeque<(u64, Options)>,
    /// The inodes of the listeners and sockets that it got from us, oldest first.
    given: VecDeque<u64>,
    /// A socket with SO_REUSEPORT was dropped for lack of room.
    forgot: bool,
}

impl Told {
    /// Remembers the option that this call sets. What cannot be read is not remembered. If the call joins a multicast
    /// group, returns the inode of the socket and the group.
    pub fn remember(
        &mut self,
        notification: &Notification,
        is_valid: impl Fn() -> bool,
    ) -> Option<(u64, Joined)> {
        let [fd, _, _, value, len, _] = notification.args;
        let id = option_of(notification);
        let len = usize::try_from(low(len)).unwrap_or(0);
        let mut raw = vec![0_u8; len.min(Joined::LONGEST)];
        let inode = descriptor(notification, fd)
            .and_then(|fd| fd.inode().ok())
            .filter(|_| remote::read_memory(notification.task, value, &mut raw).is_ok());
        let kept = raw.get(..raw.len().min(LONGEST))?;
        let option = SocketOption::new(id.0, id.1, kept);
        let may = |option: &SocketOption| may_set(notification.task, option);
        let found = inode.zip(option).filter(|(_, option)| may(option));
        let (inode, option) = found.filter(|_| is_valid())?;
        self.add(inode, option);
        Joined::new(id, raw).map(|group| (inode, group))
    }

    fn add(&mut self, inode: u64, option: SocketOption) {
        if is_steering(option.id()) || option.id() == LOCK_FILTER {
            // The runtime steers, and what a filter does is told by its own option.
            return;
        }
        let known = self.sockets.iter().position(|(other, _)| *other == inode);
        let mut options = known
            .and_then(|at| self.sockets.remove(at))
            .map(|(_, options)| options)
            .unwrap_or_default();
        options.set.retain(|other| other.id() != option.id());
        if option.id() == DETACH_FILTER {
            let filters = [ATTACH_FILTER, ATTACH_BPF];
            options.set.retain(|other| !filters.contains(&other.id()));
        } else if options.set.len() < OPTIONS {
            options.set.push(option);
        }
        if self.sockets.len() >= SOCKETS {
            let oldest = self.sockets.pop_front();
            self.forgot |= oldest.is_some_and(|(_, old)| old.reuse().port && !old.refused);
        }
        self.sockets.push_back((inode, options));
    }

    /// The options of this socket.
    pub fn of(&self, inode: u64) -> Options {
        let found = self.sockets.iter().find(|(other, _)| *other == inode);
        found
            .map(|(_, options)| options.clone())
            .unwrap_or_default()
    }

    /// SO_REUSEADDR and SO_REUSEPORT of this socket. A socket whose options may have been forgotten counts as one with
    /// SO_REUSEPORT, so that its `bind` succeeds.
    pub fn reuse(&self, inode: u64) -> Reuse {
        let known = self.sockets.iter().any(|(other, _)| *other == inode);
        let mut reuse = self.of(inode).reuse();
        reuse.port |= self.forgot && !known;
        reuse
    }

    /// The `bind` of this socket was refused.
    pub fn refused(&mut self, inode: u64) {
        if let Some((_, options)) = self.sockets.iter_mut().find(|(other, _)| *other == inode) {
            options.refused = true;
        }
    }

    /// The worker has this socket from us.
    pub fn gave(&mut self, inode: u64) {
        if self.was_given(inode) {
            return;
        }
        if self.given.len() >= SOCKETS {
            self.given.pop_front();
        }
        self.given.push_back(inode);
    }

    /// Whether the worker has this socket from us.
    pub fn was_given(&self, inode: u64) -> bool {
        self.given.contains(&inode)
    }

    /// Forgets a socket that was replaced.
    pub fn forget(&mut self, inode: u64) {
        self.sockets.retain(|(other, _)| *other != inode);
    }
}

impl Group {
    /// Sets the options that the worker's program has set before its `bind`.
    pub fn carry(&mut self, listener: ListenerId, options: &Options) {
        let number = self.number(listener);
        if let Some(listener) = self.listeners.get_mut(number) {
            carry(&listener.fd, options, &mut listener.back);
        }
    }
}

/// Sets the options on a listener or socket. `back` has what must be set to undo those that an earlier worker's program had set;
/// of these, the ones that this program does not set are undone. The program was told the result of its own call, so
/// an error here changes nothing for it.
pub(super) fn carry(fd: impl AsFd, wanted: &Options, back: &mut Vec<SocketOption>) {
    let mut undone = false;
    back.retain(|old| {
        let keep = wanted.carried().any(|new| new.id() == old.id());
        if !keep {
            let _ = old.set(&fd);
            undone = true;
        }
        keep
    });
    if undone {
        // A buffer that was set once is never sized by the kernel again, unless its lock is taken away.
        let _ = SocketOption::number(BUFFER_LOCK, 0).set(&fd);
    }
    for option in wanted.carried() {
        if !back.iter().any(|old| old.id() == option.id())
            && let Ok(before) = option.before(&fd)
        {
            back.push(before);
        }
        let _ = option.set(&fd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sockopt::{DEFER_ACCEPT, RECEIVE_BUFFER};

    fn these(options: &[SocketOption]) -> Options {
        Options {
            set: options.to_vec(),
            refused: false,
        }
    }

    fn reuse_port(value: i32) -> SocketOption {
        SocketOption::number(REUSE_PORT, value)
    }

    #[test]
    fn the_last_value_holds_and_the_oldest_socket_is_forgotten() {
        let mut told = Told::default();
        told.add(1, reuse_port(1));
        told.add(1, reuse_port(0));
        assert_eq!(told.of(1).reuse(), Reuse::default());
        for inode in 2..66 {
            told.add(inode, reuse_port(1));
        }
        assert_eq!(told.sockets.len(), SOCKETS);
        assert_eq!(told.of(1), Options::default());
        assert!(!told.reuse(1).port);
        told.add(66, reuse_port(0));
        assert_eq!(told.of(2), Options::default());
        assert!(told.reuse(2).port, "it was set");
        assert!(told.reuse(65).port);
        told.forget(65);
        assert_eq!(told.of(65), Options::default());
    }

    #[test]
    fn only_what_is_the_programs_own_choice_is_carried_over() {
        let rcvbuf = SocketOption::number(RECEIVE_BUFFER, 1);
        let v6only = SocketOption::number(V6ONLY, 1);
        let options = these(&[reuse_port(1), v6only, rcvbuf]);
        assert!(options.carried().eq([&rcvbuf]));
        assert_eq!(options.v6only(), Some(true));
        assert!(!options.has_device());
        let name = SocketOption::new(DEVICE.0, DEVICE.1, b"lo\0").unwrap();
        assert!(these(&[name]).has_device());
    }

    #[test]
    fn a_socket_with_a_filter_stays_the_programs_own_and_locks_are_not_carried_over() {
        let filter = SocketOption::number(ATTACH_FILTER, 1);
        let mut told = Told::default();
        told.add(1, SocketOption::number(LOCK_FILTER, 1));
        assert_eq!(told.of(1), Options::default());
        told.add(1, filter);
        assert!(told.of(1).unshareable().is_some());
        assert_eq!(told.of(1).carried().count(), 0);
        told.add(1, SocketOption::number(DETACH_FILTER, 0));
        assert_eq!(told.of(1).unshareable(), None);
        for inode in 0..100 {
            told.gave(inode);
        }
        assert!(told.was_given(99) && !told.was_given(0));
    }

    #[test]
    fn what_a_successor_does_not_set_is_undone() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let defer = SocketOption::number(DEFER_ACCEPT, 7);
        let buffer = SocketOption::number(RECEIVE_BUFFER, 30_000);
        let shown = |option: &SocketOption| option.before(&listener).unwrap().as_number();
        let fresh = [shown(&defer), shown(&buffer)];
        let mut back = Vec::new();
        carry(&listener, &these(&[defer, buffer]), &mut back);
        assert_eq!([shown(&defer), shown(&buffer)], [7, 30_000]);
        carry(&listener, &these(&[buffer]), &mut back);
        assert_eq!([shown(&defer), shown(&buffer)], [fresh[0], 30_000]);
        carry(&listener, &Options::default(), &mut back);
        assert_eq!([shown(&defer), shown(&buffer)], fresh);
        assert!(back.is_empty());
    }
}
