//! The thread that answers the workers' `bind` and `listen`, and nothing else: if it waited for the loop, a worker
//! would wait with it.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::errno::Errno;

use crate::model::{ListenerId, Pid, SlotId};
use crate::policy::handover::{BindAnswer, PortKey, SocketKind, on_bind};
use crate::sys::epoll::{Interest, Poller, Ready, Waker};
use crate::sys::intercept::{Call, Notification, Notifier};
use crate::sys::target;
use crate::sys::thread;

use super::PortEvent;
use super::caller::{descriptor, read_address};
use super::registry::SharedPorts;

/// Sockets of one worker whose IPV6_V6ONLY is remembered between `setsockopt` and `bind`. Go sets it on every outgoing
/// IPv6 connection too, so the memory must be bounded.
const REMEMBERED: usize = 64;

/// A worker whose calls are answered.
#[derive(Debug)]
pub struct Attendant {
    /// Where its calls come from.
    pub notifier: Notifier,
    /// The leader of its group.
    pub worker: Pid,
    /// Its slot.
    pub slot: SlotId,
    /// What it serves.
    pub listener: ListenerId,
}

/// The loop's end of the thread.
#[derive(Debug, Clone)]
pub struct Server {
    orders: Sender<Order>,
    waker: Waker,
}

#[derive(Debug)]
enum Order {
    Attend(Attendant),
    Watch(PortKey),
}

impl Server {
    /// Starts the thread. `events` is called on it; it must not wait.
    pub fn start(
        ports: SharedPorts,
        events: impl Fn(PortEvent) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (orders, inbox) = channel();
        let waker = Waker::new()?;
        let poller = Poller::new()?;
        poller.add(&waker, WAKER, Interest::Readable)?;
        let state = Thread {
            ports,
            events,
            poller,
            waker: waker.clone(),
            inbox,
            attended: HashMap::new(),
            watched: HashMap::new(),
            next_token: WAKER + 1,
            v6only_default: v6only_default(),
        };
        thread::start("handover", thread::STACK, move || state.run())?;
        Ok(Self { orders, waker })
    }

    /// Answers this worker's calls until its last descendant is gone.
    pub fn attend(&self, attendant: Attendant) {
        self.order(Order::Attend(attendant));
    }

    /// Watches the listeners of a port that was opened before the first worker.
    pub fn watch(&self, key: PortKey) {
        self.order(Order::Watch(key));
    }

    fn order(&self, order: Order) {
        // The thread ends with the process only.
        let _ = self.orders.send(order);
        self.waker.wake();
    }
}

const WAKER: u64 = 0;

/// `net.ipv6.bindv6only`: what a socket has that was never told. Absent without IPv6.
fn v6only_default() -> bool {
    std::fs::read("/proc/sys/net/ipv6/bindv6only").is_ok_and(|value| value.first() == Some(&b'1'))
}

struct Attended {
    attendant: Attendant,
    /// Inode and value, oldest first.
    v6only: VecDeque<(u64, bool)>,
    /// A process of it could not be looked into, which was told.
    unseen: bool,
    /// A port that it binds could not be shared, which was told.
    refused: bool,
}

struct Thread<F> {
    ports: SharedPorts,
    events: F,
    poller: Poller,
    waker: Waker,
    inbox: Receiver<Order>,
    attended: HashMap<u64, Attended>,
    /// The port of each listener that is watched.
    watched: HashMap<u64, PortKey>,
    next_token: u64,
    v6only_default: bool,
}

impl<F: Fn(PortEvent)> Thread<F> {
    fn run(mut self) {
        let mut ready = Vec::new();
        while self.poller.wait(&mut ready, None).is_ok() {
            for one in &ready {
                self.serve(*one);
            }
        }
    }

    fn serve(&mut self, ready: Ready) {
        if ready.token == WAKER {
            self.waker.clear();
            while let Ok(order) = self.inbox.try_recv() {
                self.carry_out(order);
            }
        } else if let Some(key) = self.watched.get(&ready.token).copied() {
            self.mend(key);
        } else if let Some(mut attended) = self.attended.remove(&ready.token) {
            // The last process that has the filter is gone: EPOLLHUP, and nothing more to read.
            let over = ready.hangup && !ready.readable;
            if over || !self.answer_next(&mut attended) {
                let _ = self.poller.remove(&attended.attendant.notifier);
            } else {
                self.attended.insert(ready.token, attended);
            }
        }
    }

    fn carry_out(&mut self, order: Order) {
        let token = self.next_token;
        self.next_token += 1;
        match order {
            Order::Attend(attendant) => {
                // Out of memory for epoll is the only failure; the worker's calls then fail with ENOSYS as the
                // notifier is dropped, which is better than waiting for ever.
                if self
                    .poller
                    .add(&attendant.notifier, token, Interest::Readable)
                    .is_ok()
                {
                    self.attended.insert(
                        token,
                        Attended {
                            attendant,
                            v6only: VecDeque::new(),
                            unseen: false,
                            refused: false,
                        },
                    );
                }
            }
            Order::Watch(key) => {
                self.watch(key);
            }
        }
    }

    /// Watches for listeners that fall out of the group. Only hang-ups wake us: connections do not. Returns how many
    /// listeners the port has.
    fn watch(&mut self, key: PortKey) -> usize {
        let (poller, watched, next) = (&self.poller, &mut self.watched, &mut self.next_token);
        let mut count = 0;
        self.ports.each_listener(key, |fd| {
            count += 1;
            // A listener that cannot be watched is mended when its worker listens on it.
            if poller.add(fd, *next, Interest::Hangup).is_ok() {
                watched.insert(*next, key);
                *next += 1;
            }
        });
        count
    }

    /// Mends what fell out of the group of that port.
    fn mend(&mut self, key: PortKey) {
        let Some(repaired) = self.ports.repair(key) else {
            // The port is not shared any more.
            self.watched.retain(|_, watched| *watched != key);
            return;
        };
        if repaired.rebuilt {
            // A listener may be a new one; those that are watched already are not added twice.
            self.watch(key);
        }
        if !repaired.mended.is_empty() {
            (self.events)(PortEvent::Repaired {
                key,
                listeners: repaired.mended,
                rebuilt: repaired.rebuilt,
            });
        }
        if let Some(errno) = repaired.error {
            (self.events)(PortEvent::steering_failed(key, errno));
        }
    }

    /// Answers one call. False if the notifier is of no use any more. An answer that fails means that the caller is
    /// gone: nobody waits for it.
    fn answer_next(&mut self, attended: &mut Attended) -> bool {
        let notification = match attended.attendant.notifier.receive() {
            Ok(Some(notification)) => notification,
            Ok(None) => return true,
            Err(_) => return false,
        };
        let done = match notification.call {
            Call::SetV6Only => {
                remember_v6only(attended, &notification);
                false
            }
            Call::Bind => self.answer_bind(attended, &notification),
            Call::Listen => self.answer_listen(&attended.attendant, &notification),
        };
        let notifier = &attended.attendant.notifier;
        let _ = if done {
            notifier.succeed(&notification)
        } else {
            notifier.proceed(&notification)
        };
        true
    }

    /// True if the call is done; false if the kernel shall do what was asked.
    fn answer_bind(&mut self, attended: &mut Attended, notification: &Notification) -> bool {
        let wanted = self.look_at_bind(attended, notification);
        // Whatever was read is of this caller only if its call still waits.
        if !attended.attendant.notifier.is_valid(notification) {
            return false;
        }
        match wanted {
            Ok(BindAnswer::Leave) => false,
            Ok(BindAnswer::LeaveElsewhere(key)) => {
                let reason = "RPM_PORTS lists this port with another address".to_owned();
                self.not_opened(attended, key, reason);
                false
            }
            Ok(BindAnswer::Done) => true,
            Ok(BindAnswer::Share(key)) => self.share(attended, notification, key),
            Err(errno) => {
                if matches!(errno, Errno::EPERM | Errno::EACCES) && !attended.unseen {
                    attended.unseen = true;
                    let (worker, slot) = (attended.attendant.worker, attended.attendant.slot);
                    (self.events)(PortEvent::Unseen { worker, slot });
                }
                false
            }
        }
    }

    /// An error means that something could not be read, so that the call is the program's own business.
    fn look_at_bind(
        &self,
        attended: &Attended,
        notification: &Notification,
    ) -> nix::Result<BindAnswer> {
        let [fd, address, len, ..] = notification.args;
        let fd = descriptor(notification, fd).ok_or(Errno::EBADF)?;
        let kind = SocketKind::from_protocol(&fd.protocol()?);
        if kind == SocketKind::Other {
            return Ok(BindAnswer::Leave);
        }
        let addr = read_address(notification.task, address, len)?;
        let inode = fd.inode()?;
        let told = attended
            .v6only
            .iter()
            .find(|(other, _)| *other == inode)
            .map(|(_, value)| *value);
        let v6only = told.unwrap_or(self.v6only_default);
        let ours = self.ports.owns(inode);
        Ok(on_bind(&self.ports.rule(), kind, addr, v6only, ours))
    }

    /// Said once for each worker: a program may try a thousand ports.
    fn not_opened(&self, attended: &mut Attended, key: PortKey, reason: String) {
        if !attended.refused {
            attended.refused = true;
            (self.events)(PortEvent::NotOpened { key, reason });
        }
    }

    fn share(
        &mut self,
        attended: &mut Attended,
        notification: &Notification,
        key: PortKey,
    ) -> bool {
        let (worker, slot) = (attended.attendant.worker, attended.attendant.slot);
        let listener = attended.attendant.listener;
        let Some(fd) = descriptor(notification, notification.args[0]) else {
            return false;
        };
        let Ok(flags) = fd.flags() else { return false };
        let mut events = Vec::new();
        let handed = self
            .ports
            .hand(key, listener, flags.nonblocking, &mut events);
        events.into_iter().for_each(&self.events);
        let handed = match handed {
            Ok(Some(handed)) => handed,
            Ok(None) => return false,
            Err(errno) => {
                let reason = match errno {
                    Errno::EDQUOT => {
                        "so many ports are shared already; list those that matter in RPM_PORTS"
                    }
                    errno => errno.desc(),
                };
                self.not_opened(attended, key, reason.to_owned());
                return false;
            }
        };
        if handed.opened {
            let listeners = self.watch(key);
            (self.events)(PortEvent::Opened { key, listeners });
        }
        let notifier = &attended.attendant.notifier;
        if notifier
            .replace(notification, &handed.fd, fd.fd, flags.cloexec)
            .is_err()
        {
            return false;
        }
        for event in self.ports.taken(key, listener, worker) {
            (self.events)(event);
        }
        (self.events)(PortEvent::Taken { worker, slot, key });
        true
    }

    /// `listen` on a listener of ours is answered, not done: it would only lower the backlog.
    fn answer_listen(&mut self, attendant: &Attendant, notification: &Notification) -> bool {
        let inode = descriptor(notification, notification.args[0]).and_then(|fd| fd.inode().ok());
        let ours = inode.and_then(|inode| self.ports.owns(inode));
        let Some(key) = ours.filter(|_| attendant.notifier.is_valid(notification)) else {
            return false;
        };
        self.mend(key);
        (self.events)(PortEvent::Listening {
            worker: attendant.worker,
            slot: attendant.slot,
            key,
        });
        true
    }
}

fn remember_v6only(attended: &mut Attended, notification: &Notification) {
    let [fd, _, _, value, len, _] = notification.args;
    let mut raw = [0_u8; 4];
    let known = descriptor(notification, fd)
        .and_then(|fd| fd.inode().ok())
        .filter(|_| len >= 4 && target::read_memory(notification.task, value, &mut raw).is_ok());
    if let Some(inode) = known.filter(|_| attended.attendant.notifier.is_valid(notification)) {
        attended.v6only.retain(|(other, _)| *other != inode);
        if attended.v6only.len() >= REMEMBERED {
            attended.v6only.pop_front();
        }
        attended
            .v6only
            .push_back((inode, i32::from_ne_bytes(raw) != 0));
    }
}
