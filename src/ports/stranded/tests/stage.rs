//! A port with workers that come and go.

use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::model::{ListenerId, Pid, SlotId};
use crate::policy::Rotation;
use crate::policy::handover::PortKey;
use crate::policy::steering::Balance;
use crate::ports::testing::{PATIENCE, Worker, open, wait_for};
use crate::ports::told::Options;
use crate::ports::{PortEvent, SharedPorts, StrandedRelay};

/// The listener that is left without a worker; 0 and 1 have one.
pub(super) const LEFT: ListenerId = ListenerId(2);

/// A port, its rescue, and a runtime in a thread of its own.
pub(super) struct Stage {
    pub(super) ports: SharedPorts,
    pub(super) key: PortKey,
    relay: StrandedRelay,
    pub(super) stranded: Arc<Mutex<u32>>,
    runtime: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Stage {
    pub(super) fn new(descriptors: usize) -> Self {
        let (ports, key) = open(6, 2, Balance::Random, descriptors);
        Self::with(ports, key)
    }

    pub(super) fn with(ports: SharedPorts, key: PortKey) -> Self {
        let (end, over) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            tell.send(runtime.handle().clone()).unwrap();
            let _ = runtime.block_on(over);
        });
        let stranded = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&stranded);
        let relay = StrandedRelay::new(ports.clone(), move |event| match event {
            PortEvent::Stranded {
                listener: LEFT,
                count,
                ..
            } => *counted.lock().unwrap() += count,
            other => panic!("{other:?}"),
        });
        let stage = Self {
            ports,
            key,
            relay,
            stranded,
            runtime: told.recv().unwrap(),
            end: Some(end),
            thread: Some(thread),
        };
        for number in [0, 1] {
            stage.occupy(ListenerId(number));
        }
        stage
    }

    pub(super) fn occupy(&self, listener: ListenerId) {
        let worker = Pid::new(100 + i32::from(listener.0)).unwrap();
        self.ports.occupy(listener, worker);
        let listener = self.hand(listener, true);
        drop(listener);
    }

    /// What the worker of the listener gets.
    pub(super) fn hand(&self, listener: ListenerId, nonblocking: bool) -> StdListener {
        let worker = Pid::new(100 + i32::from(listener.0)).unwrap();
        let mut events = Vec::new();
        let handed = self.ports.hand(
            self.key,
            listener,
            (nonblocking, &Options::default()),
            &mut events,
        );
        self.ports.taken(self.key, listener, worker);
        handed.unwrap().unwrap().fd.into()
    }

    pub(super) fn live(&self, live: &[ListenerId]) {
        self.turn(live, &[ListenerId(0), ListenerId(1)]);
    }

    pub(super) fn turn(&self, live: &[ListenerId], expected: &[ListenerId]) {
        let seats = [0, 1].map(|number| (ListenerId(number), SlotId(number)));
        let rotation = Rotation {
            live: live.to_vec(),
            expected: expected.to_vec(),
            apart: None,
            seats: seats.to_vec(),
        };
        assert!(self.ports.steer(rotation, None).is_empty());
    }

    /// A connection that came to the listener whose worker then died.
    pub(super) fn strand(&self) -> StdStream {
        self.strand_at(self.key.addr)
    }

    pub(super) fn strand_at(&self, addr: SocketAddr) -> StdStream {
        self.occupy(LEFT);
        self.live(&[LEFT]);
        let before = self.ports.queue_length(self.key, LEFT).unwrap();
        let client = StdStream::connect(addr).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        wait_for("it is queued", || {
            self.ports.queue_length(self.key, LEFT).unwrap() == before + 1
        });
        self.ports.release(LEFT, Pid::new(102).unwrap());
        self.live(&[ListenerId(0), ListenerId(1)]);
        client
    }

    pub(super) fn idle(&self, listeners: &[ListenerId]) {
        let _inside = self.runtime.enter();
        self.relay.idle(listeners);
    }

    pub(super) fn rescue(&self, listener: ListenerId) -> u32 {
        let _inside = self.runtime.enter();
        self.relay.rescue(listener)
    }

    pub(super) fn stranded(&self, count: u32) {
        wait_for("all are counted", || {
            *self.stranded.lock().unwrap() == count
        });
    }

    /// Serves listeners 0 and 1.
    pub(super) fn workers(&self, serve: fn(StdStream)) -> [Worker; 2] {
        [0, 1].map(|number| Worker::start(self.hand(ListenerId(number), true), serve))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.end.take());
        self.thread.take().unwrap().join().unwrap();
    }
}
