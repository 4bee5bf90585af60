//! Follows the log of one worker, on a thread of its own. The lines wait here until the driver takes them, once a second: a
//! worker that writes much costs no more drawing.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rpm_runtime::control::Address;
use rpm_runtime::control::protocol::{Command, LogLine as Item, LogSource, Wanted};
use rpm_runtime::sys::thread::{STACK, start};

use super::model::{LINES, LogLine};
use super::wake::Waker;
use crate::args::Globals;
use crate::connection::Connection;
use crate::exit::Failure;
use crate::output::item;
use crate::plain::Said;

/// Lines from before that are asked for.
const BEFORE: u64 = 100;

/// After so long a silence it looks whether it is still wanted.
const LOOK: Duration = Duration::from_secs(1);

/// An end is followed by another attempt after this time: the runtime may have needed the place for somebody else.
const AGAIN: Duration = Duration::from_secs(5);

/// The thread, as the driver sees it. Dropping it ends the thread.
#[derive(Debug)]
pub struct Tail {
    pub address: Address,
    ended: Option<Instant>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    unwanted: AtomicBool,
    news: Mutex<News>,
}

/// What came since the last look.
#[derive(Debug, Default)]
pub struct News {
    pub lines: Vec<LogLine>,
    pub lost: u64,
    /// It has ended, for this reason.
    pub end: Option<String>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.shared.unwanted.store(true, Ordering::Relaxed);
    }
}

impl Tail {
    /// Follows the log of a slot of the runtime at this address.
    pub fn start(slot: u16, address: Address, waker: Waker) -> Self {
        let shared = Arc::new(Shared::default());
        let (own, to) = (Arc::clone(&shared), address.clone());
        let body = move || {
            let why = match follow(slot, to, &own, &waker) {
                Ok(()) => "the runtime has ended it".to_owned(),
                Err(failure) => failure.why().to_owned(),
            };
            own.lock().end = Some(why);
            waker.wake();
        };
        if let Err(errno) = start("tail", STACK, body) {
            shared.lock().end = Some(format!("cannot start a thread: {errno}"));
        }
        Self {
            address,
            ended: None,
            shared,
        }
    }

    /// What came since the last call.
    pub fn take(&mut self, now: Instant) -> News {
        let news = std::mem::take(&mut *self.shared.lock());
        if news.end.is_some() {
            self.ended = Some(now);
        }
        news
    }

    /// Whether it ended so long ago that it is to be tried again.
    pub fn has_ended_before(&self, now: Instant) -> bool {
        let ended = self.ended.map(|ended| now.duration_since(ended));
        ended.is_some_and(|ago| ago >= AGAIN)
    }
}

fn follow(slot: u16, address: Address, shared: &Shared, waker: &Waker) -> Result<(), Failure> {
    // It may still be the runtime of another container: it is judged anew.
    let globals = Globals {
        home: None,
        pid: None,
        socket: Some(address),
        json: false,
    };
    let mut connection = Connection::open(&globals)?;
    let command = Command::Logs(Wanted {
        follow: true,
        lines: Some(BEFORE),
        slot: Some(slot),
        ..Wanted::default()
    });
    let sent = connection.send(command, LOOK);
    // The first lines are shown at once.
    let mut begun = false;
    while !shared.unwanted.load(Ordering::Relaxed) {
        let reply = match connection.reply(&sent, LOOK) {
            Ok(reply) => reply,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(Failure::none(error.to_string())),
        };
        let Some(raw) = reply.item else {
            return reply
                .error
                .map_or(Ok(()), |refusal| Err(Failure::refused(&refusal)));
        };
        let mut news = shared.lock();
        match item::<Item>(&Said::from(raw), true)? {
            Ok(line) => {
                let loud = line.stream != LogSource::Stdout;
                // A record may have several lines.
                let new = line
                    .text
                    .lines()
                    .map(|text| LogLine::new(line.time, loud, text));
                news.lines.extend(new);
                let more = news.lines.len().saturating_sub(LINES);
                news.lines.drain(..more);
            }
            Err(lost) => news.lost = news.lost.saturating_add(lost),
        }
        drop(news);
        if !begun && !connection.has_next() {
            begun = true;
            waker.wake();
        }
    }
    Ok(())
}
