//! The hand-over thread: it answers the workers' `bind` and `listen` calls and does nothing else. If it waited for the
//! event loop, the workers would wait too.

use std::collections::HashMap;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use nix::errno::Errno;

use crate::model::{ListenerId, Pid, SlotId, Tick};
use crate::policy::Allowance;
use crate::policy::handover::{BindAnswer, PortKey, Transport};
use crate::sys::bounded;
use crate::sys::clock::Clock;
use crate::sys::epoll::{Interest, Poller, ReadyFd, Waker};
use crate::sys::intercept::{Call, Notification, Notifier};
use crate::sys::network::OwnNetwork;
use crate::sys::reaper;

use self::alone::Alone;
use self::closed::ClosedWatch;
use self::decide::Decided;
use self::handle::Order;
use self::holders::Holders;
use self::once::Once;
use self::own_sockets::OwnSockets;
use self::parked::{PATIENCE, Parked};
use self::pulse::Pulse;
use self::strangers::StrangerWatch;
use super::PortEvent;
use super::epoll_sets::EpollSets;
use super::registry::SharedPorts;
use super::second_bind::Bounds;
use super::told::Told;
use super::trapped_call::descriptor;
use super::unix::UnixServer;

mod alone;
mod closed;
mod datagrams;
mod decide;
mod handle;
mod having;
mod holders;
mod listen;
mod once;
mod options;
mod own_sockets;
mod parked;
mod pulse;
mod repair;
mod sets;
mod strangers;
mod unix;

pub use handle::BindServer;

/// A worker whose calls are answered.
#[derive(Debug)]
pub struct TrappedWorker {
    /// Receives its calls.
    pub notifier: Notifier,
    /// The leader of its process group.
    pub worker: Pid,
    /// Its slot.
    pub slot: SlotId,
    /// The listener that it serves.
    pub listener: ListenerId,
}

const WAKER: u64 = 0;
const ARRIVALS: u64 = 1;

struct ServedWorker {
    trapped: TrappedWorker,
    /// Options of its sockets.
    told: Told,
    /// The listeners that it has bound.
    bounds: Bounds,
    /// What was reported of it.
    once: Once,
    sets: EpollSets,
    /// A call of it that cannot be answered yet.
    parked: Option<Parked>,
    allowance: Allowance,
    /// Until then others are answered.
    rests: Option<Tick>,
}

/// The answer to a trapped call.
enum Answer {
    /// The kernel executes it.
    Proceed,
    /// It succeeds without being executed.
    Done,
    /// It fails without being executed.
    Fail(Errno),
    /// The caller has its answer already.
    Given,
}

struct Thread<F> {
    ports: SharedPorts,
    events: F,
    poller: Poller,
    waker: Waker,
    inbox: Receiver<Order>,
    workers: HashMap<u64, ServedWorker>,
    /// The port of each watched listener, by token.
    watched: HashMap<u64, PortKey>,
    next_token: u64,
    v6only_default: bool,
    network: OwnNetwork,
    clock: Clock,
    /// The last thread that changed an epoll set. It holds copies of all descriptors until it ends.
    changing: Option<JoinHandle<()>>,
    closed: ClosedWatch,
    holders: Holders,
    unix: UnixServer,
    alone: Alone,
    pulse: Pulse,
    strangers: StrangerWatch,
    own_sockets: OwnSockets,
}

impl<F: Fn(PortEvent)> Thread<F> {
    fn served(&self, worker: Pid) -> Option<&ServedWorker> {
        let mut all = self.workers.values();
        all.find(|served| served.trapped.worker == worker)
    }

    fn run(mut self) {
        let waker = self.waker.clone();
        bounded::limit(PATIENCE, move || waker.wake());
        self.watch_new();
        let mut ready = Vec::new();
        while self.poller.wait(&mut ready, self.until_next()).is_ok() {
            self.pulse.works();
            self.unix.rested(&self.poller);
            for one in &ready {
                self.serve(*one);
            }
            self.expire_sets();
            self.resume_rested();
            self.look_at_queues();
            self.tell_of_parked();
            self.look_for_strangers();
            self.pulse.rests();
        }
    }

    fn serve(&mut self, ready: ReadyFd) {
        if self.unix.arrived(ready.token, &self.poller, &self.events) {
            return;
        }
        if ready.token == WAKER {
            self.waker.clear();
            while let Ok(order) = self.inbox.try_recv() {
                self.execute(order);
            }
            self.watch_new();
            self.unix.attend(&self.poller, &self.events);
            self.resume();
        } else if ready.token == ARRIVALS {
            self.arrived();
        } else if let Some(key) = self.watched.get(&ready.token).copied() {
            self.repair_port(key);
        } else if !self.holder_ended(ready.token) {
            // EPOLLHUP with nothing left to read: the last process with the filter has ended.
            let over = ready.hangup && !ready.readable;
            self.serve_worker(ready.token, over);
        }
    }

    fn serve_worker(&mut self, token: u64, over: bool) {
        if let Some(mut served) = self.workers.remove(&token) {
            // What was waited for until now was not about this worker.
            bounded::take_waited();
            if over || !self.answer_next(&mut served) {
                let _ = self.poller.remove(&served.trapped.notifier);
            } else {
                let now = self.clock.now();
                served.rests = served.allowance.spend(now, bounded::take_waited());
                if served.parked.is_some() || served.rests.is_some() {
                    // Its other calls wait too. Added again by `resume`.
                    let _ = self.poller.remove(&served.trapped.notifier);
                }
                self.workers.insert(token, served);
            }
        }
    }

    fn execute(&mut self, order: Order) {
        let token = self.next_token;
        self.next_token += 1;
        match order {
            Order::ServeWorker(trapped) => {
                // This fails only without memory for epoll. The notifier is then dropped, and the worker's calls fail
                // with ENOSYS; that is better than blocking forever.
                if self
                    .poller
                    .add(&trapped.notifier, token, Interest::Readable)
                    .is_ok()
                {
                    self.workers.insert(
                        token,
                        ServedWorker {
                            trapped,
                            told: Told::default(),
                            bounds: Bounds::default(),
                            once: Once::default(),
                            sets: EpollSets::new(self.clock.now()),
                            parked: None,
                            allowance: Allowance::default(),
                            rests: None,
                        },
                    );
                }
            }
            Order::LookAtSockets(worker) => self.look_at_sockets(worker),
            Order::OpenPaths(done) => self.open_listed_paths(&done),
            Order::AskPath(path, asker, answer) => self.answer_path(&path, asker, &answer),
        }
    }

    /// Answers one call. False if the notifier is of no further use. If sending the answer fails, the caller has ended,
    /// so the error is ignored.
    fn answer_next(&mut self, served: &mut ServedWorker) -> bool {
        let parked = served.parked.take();
        let notification = if let Some(parked) = parked {
            parked.notification
        } else {
            match served.trapped.notifier.receive() {
                Ok(Some(notification)) => notification,
                Ok(None) => return true,
                Err(_) => return false,
            }
        };
        let answer = match notification.call {
            Call::SetOption => self.answer_option(served, &notification),
            Call::Bind => self.answer_bind(served, &notification),
            Call::Listen => self.answer_listen(served, &notification),
            Call::AskListening => self.answer_whether_it_listens(served, &notification),
            Call::CreateEpoll => self.create_set(served, &notification),
            Call::Connect => self.answer_connect(served, &notification),
            Call::Unlink | Call::UnlinkAt => self.remove_path(served, &notification),
        };
        if let Some(stuck) = bounded::take_stuck() {
            served.parked = Some(Parked::new(notification, stuck, self.clock.now()));
            return true;
        }
        let notifier = &served.trapped.notifier;
        let _ = match answer {
            Answer::Proceed => notifier.proceed(&notification),
            Answer::Done => notifier.succeed(&notification),
            Answer::Fail(errno) => notifier.fail(&notification, errno),
            Answer::Given => Ok(()),
        };
        true
    }

    fn answer_bind(&mut self, served: &mut ServedWorker, notification: &Notification) -> Answer {
        let trapped = &served.trapped;
        let present = self.ports.is_present(trapped.listener, trapped.worker);
        // The event loop may not have heard of its end yet.
        if !present || reaper::has_ended(trapped.worker) {
            // A process that outlived its worker. Its slot belongs to the successor, and nobody would end what it opens.
            return Answer::Proceed;
        }
        let Some(fd) = descriptor(notification, notification.args[0]) else {
            return Answer::Proceed;
        };
        // Asked once: the answer comes from another thread.
        let protocol = fd.protocol();
        if let Ok(protocol) = &protocol
            && let Some(answer) = self.bind_unix(served, notification, (fd, protocol))
        {
            return answer;
        }
        let wanted =
            protocol.and_then(|protocol| self.decide_bind(served, notification, (fd, &protocol)));
        // What was read belongs to this caller only if its call still waits.
        if !served.trapped.notifier.is_valid(notification) {
            return Answer::Proceed;
        }
        match wanted {
            Ok(Decided {
                denied: Some(denied),
                ..
            }) => self.leave_denied(served, denied),
            Ok(Decided { answer, inode, .. }) => match answer {
                BindAnswer::Done => Answer::Done,
                BindAnswer::Share(key) => self.share(served, notification, key, inode),
                left => {
                    self.left_alone(served, (left, inode));
                    Answer::Proceed
                }
            },
            Err(errno) => {
                if matches!(errno, Errno::EPERM | Errno::EACCES) {
                    self.unseen(served);
                }
                Answer::Proceed
            }
        }
    }

    fn share(
        &mut self,
        served: &mut ServedWorker,
        notification: &Notification,
        key: PortKey,
        inode: u64,
    ) -> Answer {
        let (worker, slot) = (served.trapped.worker, served.trapped.slot);
        let listener = served.trapped.listener;
        let Some(fd) = descriptor(notification, notification.args[0]) else {
            return Answer::Proceed;
        };
        let Ok(flags) = fd.flags() else {
            return Answer::Proceed;
        };
        let options = served.told.of(inode);
        if let Some(reason) = options.unshareable() {
            return self.not_shared(served, (key, inode), reason);
        }
        let reuse = served.told.reuse(inode);
        if served.bounds.refuse(&key, reuse, fd.task, worker) {
            served.told.refused(inode);
            return Answer::Fail(Errno::EADDRINUSE);
        }
        self.settle();
        let mut events = Vec::new();
        let as_is = (flags.nonblocking, &options);
        let another = key.transport == Transport::Udp && served.bounds.has(&key);
        let handed = if another {
            self.ports.another_socket(key, listener, as_is, &mut events)
        } else {
            self.ports.hand(key, listener, as_is, &mut events)
        };
        events.into_iter().for_each(&self.events);
        let handed = match handed {
            Ok(Some(handed)) => handed,
            Ok(None) => return Answer::Proceed,
            // It is to be replaced, because it has shut its listener down too often.
            Err(Errno::EBUSY) => return Answer::Fail(Errno::EADDRINUSE),
            Err(errno) => {
                let reason = match errno {
                    Errno::EDQUOT => {
                        "too many ports are shared already; list the needed ports in RPM_PORTS"
                    }
                    errno => errno.desc(),
                };
                return self.not_shared(served, (key, inode), reason);
            }
        };
        // Before the worker can do anything with its listener.
        self.watch_new();
        if handed.opened {
            let mut listeners = 0;
            self.ports.each_listener(key, |_| listeners += 1);
            let key = key.into();
            (self.events)(PortEvent::Opened { key, listeners });
        }
        match served.replace(notification, fd, &handed.fd, flags.cloexec) {
            Ok(changing) => self.changing = changing,
            Err(why) => return self.not_replaced(served, (key, inode), why),
        }
        served.told.forget(inode);
        served.told.gave(handed.inode);
        if another {
            return Answer::Done;
        }
        served.bounds.add(key, handed.inode, reuse, fd.fd);
        for event in self.ports.taken(key, listener, worker) {
            (self.events)(event);
        }
        let port = key.into();
        (self.events)(PortEvent::Taken {
            worker,
            slot,
            key: port,
        });
        self.serves_from_bind(&served.trapped, key);
        Answer::Done
    }
}
