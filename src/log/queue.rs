//! RPM_LOG_OVERFLOW=drop: a writing thread with a bounded queue. Adding to the queue never blocks.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::batch::Batch;
use super::emptying::Emptying;
use super::output::{FULL, Sink};
use super::shared::Shared;
use crate::sys::thread;

/// Messages to the thread. It processes them in order.
enum Message {
    /// Adds a target. It gets the next number.
    Open(Sink),
    /// A batch for the target with this number.
    Write(usize, Batch),
    Reopen,
    Empty(Arc<Emptying>),
    /// Dropped once everything before it is written.
    Done(#[expect(dead_code, reason = "its end is the word")] Sender<()>),
}

#[derive(Default)]
struct State {
    messages: VecDeque<Message>,
    /// An empty batch to reuse, which saves allocations.
    spare: Option<Batch>,
    over: bool,
}

struct Inner {
    state: Mutex<State>,
    more: Condvar,
    /// Memory of the batches in the queue and in the thread's hands, bytes ([`Batch::cost`]).
    bytes: AtomicUsize,
    limit: usize,
    /// A caller found too little room and must be woken when there is enough again.
    starved: AtomicBool,
    shared: Arc<Shared>,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flows(&self, more: usize) -> bool {
        self.bytes.load(SeqCst) + more <= self.limit / 2
    }
}

/// The sending side; it never blocks. Dropping it ends the thread after the last message.
pub struct Queue {
    inner: Arc<Inner>,
    /// Number of targets.
    places: AtomicUsize,
    /// Bytes in batches that were not pushed yet.
    gathered: AtomicUsize,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.inner.lock().over = true;
        self.inner.more.notify_one();
    }
}

impl Queue {
    /// Starts the thread `name`. At most `limit` bytes wait in its queue.
    pub fn start(name: &str, limit: usize, shared: Arc<Shared>) -> nix::Result<Self> {
        let inner = Arc::new(Inner {
            state: Mutex::default(),
            more: Condvar::new(),
            bytes: AtomicUsize::new(0),
            limit,
            starved: AtomicBool::new(false),
            shared,
        });
        let writer = Arc::clone(&inner);
        thread::start(name, thread::STACK, move || run(&writer))?;
        Ok(Self {
            inner,
            places: AtomicUsize::new(0),
            gathered: AtomicUsize::new(0),
        })
    }

    /// Adds a target and returns its number.
    pub fn open(&self, sink: Sink) -> usize {
        self.send(Message::Open(sink));
        self.places.fetch_add(1, SeqCst)
    }

    /// How many bytes may be added to what is queued and what callers have collected; `batch` is the cost of this
    /// caller's batch. If nothing waits yet, any amount may be added, because a line above the limit would otherwise
    /// never pass.
    pub fn room(&self, batch: usize) -> usize {
        let gathered = self.gathered.load(SeqCst);
        let waiting = self.inner.bytes.load(SeqCst) + gathered.max(batch);
        if waiting == batch && gathered == 0 {
            return usize::MAX;
        }
        let room = self.inner.limit.saturating_sub(waiting);
        if room <= self.inner.limit / 2 {
            self.want_word();
        }
        room
    }

    /// Records that a caller has collected `bytes` more for a later push.
    pub fn gathers(&self, bytes: usize) {
        self.gathered.fetch_add(bytes, SeqCst);
    }

    /// Whether at most half of the limit would be used after adding `more` bytes.
    pub fn flows(&self, more: usize) -> bool {
        let flows = self.inner.flows(more);
        if !flows {
            self.want_word();
        }
        flows
    }

    /// Wakes the reading thread when enough room is free; at once if it is free already.
    fn want_word(&self) {
        self.inner.starved.store(true, SeqCst);
        if self.inner.flows(0) {
            self.inner.shared.waker.wake();
        }
    }

    /// Queues the content of `batch` and leaves an empty batch. Short batches for the same target are merged, because
    /// their overhead would exceed their lines.
    pub fn push(&self, place: usize, batch: &mut Batch) {
        self.gathered.fetch_sub(batch.bytes.len(), SeqCst);
        let mut state = self.inner.lock();
        if let Some(Message::Write(last, waiting)) = state.messages.back_mut()
            && *last == place
            && waiting.bytes.len() + batch.bytes.len() <= FULL
        {
            let before = waiting.cost();
            waiting.append(batch);
            self.inner.bytes.fetch_add(waiting.cost() - before, SeqCst);
            // The writer was woken for that batch already, and takes it under the same lock.
            batch.clear(2 * FULL);
            return;
        }
        self.inner.bytes.fetch_add(batch.cost(), SeqCst);
        let empty = state.spare.take().unwrap_or_default();
        let full = mem::replace(batch, empty);
        state.messages.push_back(Message::Write(place, full));
        drop(state);
        self.inner.more.notify_one();
    }

    pub fn reopen(&self) {
        self.send(Message::Reopen);
    }

    pub fn empty(&self, emptying: Arc<Emptying>) {
        self.send(Message::Empty(emptying));
    }

    pub fn done(&self, done: Sender<()>) {
        self.send(Message::Done(done));
    }

    fn send(&self, message: Message) {
        self.inner.lock().messages.push_back(message);
        self.inner.more.notify_one();
    }
}

fn run(inner: &Inner) {
    let mut sinks = Vec::new();
    loop {
        let state = inner.lock();
        let waiting = inner
            .more
            .wait_while(state, |state| state.messages.is_empty() && !state.over);
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
        let Some(message) = state.messages.pop_front() else {
            return;
        };
        drop(state);
        match message {
            Message::Open(sink) => sinks.push(sink),
            Message::Write(place, mut batch) => {
                let bytes = batch.cost();
                if let Some(sink) = sinks.get_mut(place) {
                    sink.write(&batch, [b"", b""]);
                }
                batch.clear(2 * FULL);
                inner.lock().spare = Some(batch);
                inner.bytes.fetch_sub(bytes, SeqCst);
                if inner.flows(0) && inner.starved.swap(false, SeqCst) {
                    inner.shared.waker.wake();
                }
            }
            Message::Reopen => sinks.iter_mut().for_each(Sink::reopen),
            Message::Empty(emptying) => {
                for sink in &mut sinks {
                    sink.empty(&emptying);
                }
            }
            Message::Done(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::batch::{LineOwner, Run};
    use crate::log::own::OwnFormat;
    use crate::log::stream::StreamWriter;
    use crate::log::tests::{collector, full_pipe, text};
    use crate::log::{Format, output::Output};
    use crate::model::{LogOrigin, LossReason, SlotId, Timestamp};

    /// A queue for an output that is never read.
    fn stuck(limit: usize) -> (std::fs::File, Arc<Queue>, Output, Arc<Shared>) {
        let form = OwnFormat {
            format: Format::Raw,
            timestamp: Timestamp::None,
            app: "web".to_owned(),
            colour: false,
        };
        let (reader, out) = full_pipe();
        let shared = Arc::new(Shared::new(form, limit, 0).unwrap());
        let queue = Arc::new(Queue::start("log-test", limit, Arc::clone(&shared)).unwrap());
        let sink = Sink::Stream(StreamWriter::new(out, Arc::clone(&shared)));
        let output = Output::queued(&queue, sink, LossReason::BufferFull, Arc::clone(&shared));
        (reader, queue, output, shared)
    }

    fn line(slot: u16) -> Run {
        Run {
            owner: LineOwner {
                origin: LogOrigin::Stdout,
                slot: Some(SlotId(slot)),
            },
            lines: 1,
            bytes: 1,
        }
    }

    #[test]
    fn short_lines_that_wait_share_a_batch() {
        let (reader, queue, mut output, shared) = stuck(64 * 1024);
        for _ in 0..10_000 {
            output.take(line(0), [b"\n", b""]);
            output.flush();
        }
        assert_eq!(shared.totals().dropped.stdout.buffer_full, 0);
        // One message may already be in the thread's hands.
        assert!(queue.inner.lock().messages.len() <= 3);
        drop((output, queue));
        let out = text(collector(reader));
        assert_eq!(out.bytes().filter(|byte| *byte == b'\n').count(), 10_000);
        assert_eq!(shared.pending(), 0);
    }

    #[test]
    fn of_many_lines_as_many_are_taken_as_find_room() {
        let (reader, queue, mut output, shared) = stuck(8 * 1024);
        let lines = |count: u64| Run {
            lines: count,
            bytes: 100 * usize::try_from(count).unwrap(),
            ..line(0)
        };
        let text_of = |count: usize| ("x".repeat(99) + "\n").repeat(count).into_bytes();
        assert!(output.take(lines(10), [b"", &text_of(10)]));
        output.flush();
        assert!(!output.take(lines(500), [b"x", &text_of(500)[1..]]));
        output.flush();
        let dropped = shared.totals().dropped.stdout.buffer_full;
        assert!((425..450).contains(&dropped), "{dropped}");
        drop((output, queue));
        let out = text(collector(reader));
        let out = out.trim_start_matches('.');
        assert_eq!(out.lines().count() as u64, 510 - dropped);
        assert!(out.lines().all(|line| line.len() == 99));
    }

    #[test]
    fn what_a_line_takes_besides_its_bytes_counts() {
        let limit = 64 * 1024;
        let (_reader, queue, mut output, shared) = stuck(limit);
        for number in 0..limit {
            output.take(line(u16::from(number % 2 == 0)), [b"\n", b""]);
            output.flush();
        }
        assert!(queue.inner.bytes.load(SeqCst) <= limit);
        let kept = limit as u64 - shared.totals().dropped.stdout.buffer_full;
        assert!(kept < limit as u64 / 16, "{kept}");
    }
}
