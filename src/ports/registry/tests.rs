//! Tests on real sockets, on addresses that no other test binds.

use super::*;
use crate::policy::steering::Balance;
use crate::ports::Steering;

const SLOT: ListenerId = ListenerId(0);

fn ports() -> (SharedPorts, PortKey) {
    let free = std::net::TcpListener::bind("127.73.0.2:0").unwrap();
    let key = PortKey::new(free.local_addr().unwrap(), false);
    drop(free);
    let ports = SharedPorts::new(PortSettings {
        descriptors: 1024,
        slots: 1,
        listeners: 2,
        backlog: 16,
        rule: PortRule::Any,
        steering: Some(Steering {
            balance: Balance::Random,
            follows: false,
            probe: Some(crate::policy::steering::ProbePorts {
                base: 61_000,
                count: 2,
            }),
        }),
    });
    ports.open(key).unwrap();
    (ports, key)
}

/// Only the listener of a present worker is a probe target.
fn has_it(ports: &SharedPorts) -> bool {
    ports.probe_target(SLOT, None).is_some()
}

#[test]
fn late_words_of_a_dead_worker_say_nothing_of_its_successor() {
    let (ports, key) = ports();
    let [first, second] = [101, 102].map(|pid| Pid::new(pid).unwrap());
    ports.occupy(SLOT, first);
    ports.release(SLOT, first);
    // Its bind was answered while it died.
    ports.taken(key, SLOT, first);
    assert!(!has_it(&ports));
    ports.occupy(SLOT, second);
    ports.taken(key, SLOT, first);
    assert!(!has_it(&ports));
    ports.taken(key, SLOT, second);
    assert!(has_it(&ports));
    // A worker that survived its SIGKILL for a while and has ended now.
    ports.release(SLOT, first);
    assert!(has_it(&ports));
    ports.release(SLOT, second);
    assert!(!has_it(&ports));
}

#[test]
fn a_worker_is_not_waited_for_at_a_port_that_it_has_not_bound() {
    let (ports, key) = ports();
    let free = std::net::TcpListener::bind("127.73.0.2:0").unwrap();
    let other = PortKey::new(free.local_addr().unwrap(), false);
    drop(free);
    ports.open(other).unwrap();
    let worker = Pid::new(101).unwrap();
    ports.occupy(SLOT, worker);
    let _clients = [key, key, other].map(|key| std::net::TcpStream::connect(key.addr).unwrap());
    assert_eq!(ports.queued(SLOT), 3, "it may bind either");
    ports.taken(key, SLOT, worker);
    assert_eq!(ports.queued(SLOT), 2);
    ports.taken(other, SLOT, worker);
    assert_eq!(ports.queued(SLOT), 3);
    ports.release(SLOT, worker);
    assert_eq!(ports.queued(SLOT), 3, "its successor has bound none");
}

/// It sets SO_REUSEPORT and has the same user, so the kernel would let us join it.
#[test]
fn a_port_of_another_process_is_refused_and_one_beside_our_own_is_opened() {
    use crate::sys::listener;
    let (ports, key) = ports();
    let other = listener::open("127.73.0.3:0".parse().unwrap(), false, 4, true).unwrap();
    let taken = PortKey::new(listener::local_addr(&other).unwrap(), false);
    assert_eq!(ports.open(taken), Err(Errno::EADDRINUSE));
    let wild = std::net::SocketAddr::new("0.0.0.0".parse().unwrap(), taken.addr.port());
    assert_eq!(
        ports.open(PortKey::new(wild, false)),
        Err(Errno::EADDRINUSE)
    );
    let wild = std::net::SocketAddr::new("0.0.0.0".parse().unwrap(), key.addr.port());
    assert_eq!(ports.open(PortKey::new(wild, false)), Ok(()));
}

#[test]
fn each_listener_is_shown_once_to_the_thread_that_guards_it_wherever_it_was_made() {
    let (ports, key) = ports();
    let new = || {
        let mut count = 0;
        ports.each_new_listener(|at, _| {
            assert_eq!(at, key);
            count += 1;
        });
        count
    };
    assert_eq!((new(), new()), (2, 0));
    // A `bind` makes none.
    let as_is = (true, &Options::default());
    ports.occupy(SLOT, Pid::new(101).unwrap());
    ports.hand(key, SLOT, as_is, &mut Vec::new()).unwrap();
    assert_eq!(new(), 0);
    // A change of scale does, whether the worker binds or is given its listeners at its start.
    let later = ListenerId(3);
    ports.hand(key, later, as_is, &mut Vec::new()).unwrap();
    assert_eq!(new(), 2);
    ports.activation(ListenerId(5)).unwrap();
    assert_eq!((new(), new()), (2, 0));
}
