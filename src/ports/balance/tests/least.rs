//! RPM_BALANCE=least: the workers with the fewest connections come first.

use std::sync::{Arc, Mutex};

use super::*;

type Kept = Arc<Mutex<Vec<TcpStream>>>;

/// Workers that keep every client, and how many each has.
fn keepers(ports: &SharedPorts, key: PortKey, count: u16) -> (Vec<Worker>, Vec<Kept>) {
    let keeper = |number| {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        let fd = handed(ports, key, number);
        let worker = Worker::start(fd, move |client| keep.lock().unwrap().push(client));
        (worker, kept)
    };
    (0..count).map(keeper).unzip()
}

/// Waits until arrivals are seen.
fn until_watched(ports: &SharedPorts) {
    wait_for("the listeners are watched", || {
        let state = ports.lock();
        let mut listeners = state.groups.iter().flat_map(|group| &group.listeners);
        listeners.all(|one| one.watched.is_some())
    });
}

/// Opens a connection and waits until the choice follows. It is accepted by then, because a queue of two is a reason of its own
/// to get no more; and no burst, in which more than one worker may get the next connection.
fn open_one(ports: &SharedPorts, addr: SocketAddr, clients: &[Kept]) -> TcpStream {
    let seen = || ports.lock().arrivals.seen().arrivals;
    let (before, kept_before) = (seen(), all(clients));
    let client = TcpStream::connect(addr).unwrap();
    wait_for("it is seen and accepted", || {
        seen() > before && all(clients) > kept_before
    });
    pause(Duration::from_millis(2));
    client
}

fn all(of: &[Kept]) -> usize {
    kept(of).iter().sum()
}

fn kept(of: &[Kept]) -> Vec<usize> {
    of.iter().map(|kept| kept.lock().unwrap().len()).collect()
}

#[test]
fn few_connections_are_spread_exactly_though_workers_accept_at_once() {
    let (ports, key) = served(4, Balance::Least);
    let (_workers, clients) = keepers(&ports, key, 4);
    balancer(&ports);
    until_watched(&ports);
    let open = |_| open_one(&ports, key.addr, &clients);
    let opened: Vec<TcpStream> = (0..16).map(open).collect();
    assert_eq!(kept(&clients), [4; 4]);
    assert_eq!(ports.lock().arrivals.seen().arrivals, 16);
    drop(opened);
}

#[test]
fn a_count_says_who_has_fewer_now() {
    let (ports, key) = served(4, Balance::Least);
    let (_workers, clients) = keepers(&ports, key, 4);
    let counted = clients.clone();
    let census = move || {
        let open = kept(&counted).into_iter();
        Some(
            (0..4)
                .map(|number| Pid::new(100 + number).unwrap())
                .zip(open.map(|open| Some(open as u64)))
                .collect(),
        )
    };
    Balancer::start(&ports, |event| panic!("{event:?}"), Box::new(census)).unwrap();
    until_watched(&ports);
    let open = |_| open_one(&ports, key.addr, &clients);
    let opened: Vec<TcpStream> = (0..12).map(open).collect();
    let counts = || ports.lock().arrivals.seen().counts;
    let before = counts();
    wait_for("they are counted", || counts() > before);
    // All clients of one leave; nobody tells of that.
    clients[2].lock().unwrap().clear();
    let one = open_one(&ports, key.addr, &clients);
    wait_for("it was counted", || {
        ports.lock().arrivals.known(&[2])[0] <= 1
    });
    let chances = || -> Vec<u32> {
        let state = ports.lock();
        let listeners = state.groups[0].listeners.iter().take(4);
        listeners.map(|one| one.standing.chance).collect()
    };
    wait_for("it has the best chance", || {
        let now = chances();
        (0..4).all(|at| at == 2 || now[at] < now[2])
    });
    drop((opened, one));
}
