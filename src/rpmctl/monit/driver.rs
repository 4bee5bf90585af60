//! Between the terminal, the runtime and the model: waits for keys, signals and answers, and draws.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rpm_runtime::control::Address;
use rpm_runtime::control::protocol::List;
use rpm_runtime::model::Sig;
use rpm_runtime::sys::clock::instant;
use rpm_runtime::sys::io::{Read, read, wait_any};
use rpm_runtime::sys::signals::{Signals, stop_self};

use super::asker::{Asker, Question, Told};
use super::keys::{Key, Keys};
use super::model::{Log, State, Wish};
use super::screen::Screen;
use super::tail::Tail;
use super::terminal::Terminal;
use super::view::{Look, draw};
use super::wake::{Waker, heard};
use super::writer::Writer;
use crate::args::Globals;
use crate::connection::Connection;
use crate::exit::Failure;
use crate::words::human;

/// Between two questions.
const EACH: Duration = Duration::from_secs(1);
/// An answer that takes longer is told.
const LATE: Duration = Duration::from_secs(3);
/// Time for the rest of a key: the bytes of one may come one by one over a slow link.
const REST_OF_KEY: Duration = Duration::from_millis(100);
/// Time for the last frame, before the terminal is given back.
const LAST_FRAME: Duration = Duration::from_secs(1);

/// A worker that is selected for so long has its log followed: who goes through many of them asks for none.
const SETTLED: Duration = Duration::from_millis(200);

/// SIGTSTP, which a shell sends for Ctrl-Z if we do not read the key.
const TSTP: i32 = 20;

/// Everything at work.
pub struct Driver {
    terminal: Terminal,
    look: Look,
    state: State,
    screen: Screen,
    keys: Keys,
    signals: Signals,
    signalled: UnixStream,
    woken: UnixStream,
    writer: Writer,
    asker: Asker,
    waker: Waker,
    /// Where the runtime was that answered last.
    address: Address,
    tail: Option<Tail>,
    /// The slot that is selected, and since when.
    selected: (Option<u16>, Instant),
    /// When the question was asked that has no answer yet.
    asked: Option<Instant>,
    /// When the next one is due.
    next: Instant,
    /// Something is to be drawn.
    changed: bool,
}

/// Why it ends.
enum End {
    Quit,
    Signal(Sig),
}

impl Driver {
    pub fn new(
        terminal: Terminal,
        look: Look,
        connection: Connection,
        globals: Globals,
        first: List,
    ) -> Result<Self, Failure> {
        let failed = |what: &str, error: io::Error| Failure::failed(format!("{what}: {error}"));
        // Before the first thread, which inherits what is blocked.
        let taken = [
            Sig::HUP,
            Sig::INT,
            Sig::QUIT,
            Sig::TERM,
            Sig::CONT,
            Sig::WINCH,
        ];
        let signals = Signals::take(taken.into_iter().chain(Sig::new(TSTP)))
            .map_err(|error| failed("cannot take signals", error))?;
        let signalled = signals
            .wakes()
            .map_err(|error| failed("cannot take signals", error))?;
        let (waker, woken) = Waker::new().map_err(|error| failed("cannot open a socket", error))?;
        let writer = Writer::start(waker.clone())?;
        let address = connection.address().clone();
        let asker = Asker::start(connection, globals, waker.clone())?;
        let mut state = State::new();
        state.listed(first);
        Ok(Self {
            terminal,
            look,
            state,
            screen: Screen::default(),
            keys: Keys::default(),
            signals,
            signalled,
            woken,
            writer,
            asker,
            waker,
            address,
            tail: None,
            selected: (None, instant()),
            asked: None,
            next: instant() + EACH,
            changed: true,
        })
    }

    /// Until the person or a signal ends it.
    pub fn run(mut self) -> Result<(), Failure> {
        self.terminal.enter()?;
        let end = self.turns();
        self.give_back();
        match end? {
            End::Quit => Ok(()),
            End::Signal(sig) => Err(Failure::signalled(sig.get())),
        }
    }

    fn turns(&mut self) -> Result<End, Failure> {
        loop {
            self.ask();
            let mut limit = self.next.saturating_duration_since(instant());
            limit = limit.min(self.follow().unwrap_or(limit));
            self.draw();
            if self.keys.waits() {
                limit = limit.min(REST_OF_KEY);
            }
            let stdin = io::stdin();
            let fds = [stdin.as_fd(), self.signalled.as_fd(), self.woken.as_fd()];
            let [typed, signalled, woken] = wait_any(fds, limit)
                .map_err(|errno| Failure::failed(format!("cannot wait: {errno}")))?;
            if signalled && let Some(end) = self.signals() {
                return Ok(end);
            }
            if woken {
                heard(&self.woken);
                self.take_lines();
                self.hear()?;
                self.changed = true;
            }
            let keys = match (typed, self.keys.waits()) {
                (true, _) => match self.typed() {
                    Some(keys) => keys,
                    None => return Ok(End::Signal(Sig::HUP)),
                },
                (false, true) => self.keys.give_up().into_iter().collect(),
                (false, false) => Vec::new(),
            };
            for key in keys {
                if let Some(end) = self.key(key) {
                    return Ok(end);
                }
            }
        }
    }

    /// Asks once a second, and not again before the answer is here.
    fn ask(&mut self) {
        let now = instant();
        if now < self.next {
            return;
        }
        self.next = now + EACH;
        match self.asked {
            None => {
                self.asked = Some(now);
                // If the thread is gone, hear() tells.
                let _ = self.asker.questions.send(Question::List);
            }
            Some(asked) if now.duration_since(asked) > LATE => {
                let late = human(now.duration_since(asked).as_secs_f64());
                self.state.lost(&format!("it has not answered for {late}"));
                self.changed = true;
            }
            Some(_) => {}
        }
    }

    /// Follows the log of the selected worker. Gives the time until it does, if that is not yet.
    fn follow(&mut self) -> Option<Duration> {
        let now = instant();
        let slot = self.state.selected();
        if self.selected.0 != slot {
            self.selected = (slot, now);
            self.state.log = Log::Waits;
            self.tail = None;
        }
        let other = |tail: &Tail| tail.address != self.address || tail.has_ended_before(now);
        if self.state.lost.is_some() || !self.tail.as_ref().is_none_or(other) {
            return None;
        }
        let left = SETTLED.saturating_sub(now.duration_since(self.selected.1));
        if let Some(slot) = slot
            && left.is_zero()
        {
            if matches!(self.state.log, Log::Lines { .. }) {
                // It begins with lines that are there already.
                self.state.log = Log::Waits;
            }
            self.tail = Some(Tail::start(slot, self.address.clone(), self.waker.clone()));
            return None;
        }
        slot.map(|_| left)
    }

    /// Takes what the log has brought.
    fn take_lines(&mut self) {
        let Some(tail) = &mut self.tail else { return };
        let news = tail.take(instant());
        if !news.lines.is_empty() || news.lost > 0 {
            self.state.log.add(news.lines, news.lost);
        }
        if let Some(why) = news.end {
            self.state.log.end(&why);
        }
    }

    /// Draws if something changed and the terminal has taken the last frame.
    fn draw(&mut self) {
        if !self.changed || !self.writer.is_free() {
            return;
        }
        self.changed = false;
        let frame = self
            .screen
            .frame(draw(&self.state, self.look, Terminal::size()));
        if !frame.is_empty() {
            self.writer.write(frame);
        }
    }

    fn signals(&mut self) -> Option<End> {
        let (received, _) = self.signals.pending();
        for sig in received.into_iter().map(|received| received.sig) {
            match sig {
                Sig::CONT => self.take_again(),
                Sig::WINCH => self.changed = true,
                sig if sig.get() == TSTP => self.suspend(),
                sig => return Some(End::Signal(sig)),
            }
        }
        None
    }

    fn give_back(&self) {
        if self.writer.finish(LAST_FRAME) {
            self.terminal.leave();
        } else {
            self.terminal.leave_stuck();
        }
    }

    /// Gives the terminal to the shell until it continues us.
    fn suspend(&mut self) {
        self.give_back();
        stop_self();
        self.take_again();
    }

    /// After a stop: the shell has used the terminal.
    fn take_again(&mut self) {
        // A failure means that the terminal is gone, which the next read tells.
        let _ = self.terminal.enter();
        self.screen.forget();
        self.changed = true;
    }

    /// The keys that were typed. `None`: the terminal is gone.
    fn typed(&mut self) -> Option<Vec<Key>> {
        let mut bytes = [0; 256];
        match read(io::stdin(), &mut bytes) {
            Ok(Read::Data(count)) => Some(self.keys.feed(bytes.get(..count).unwrap_or_default())),
            Ok(Read::Empty) => Some(Vec::new()),
            Ok(Read::End) | Err(_) => None,
        }
    }

    fn key(&mut self, key: Key) -> Option<End> {
        // The tests see with it that a panic leaves the terminal as it was.
        assert!(
            !cfg!(debug_assertions) || key != Key::Ctrl('x'),
            "a panic was asked for"
        );
        self.changed = true;
        match self.state.key(key) {
            None => {}
            Some(Wish::Quit) => return Some(End::Quit),
            Some(Wish::Suspend) => self.suspend(),
            Some(Wish::Redraw) => self.screen.forget(),
            Some(Wish::Order(order)) => {
                let _ = self.asker.questions.send(Question::Order(order));
            }
        }
        None
    }

    /// What the threads have to tell.
    fn hear(&mut self) -> Result<(), Failure> {
        use std::sync::mpsc::TryRecvError;
        loop {
            match self.asker.told.try_recv() {
                Ok(Told::Listed(list, address)) => {
                    self.asked = None;
                    self.address = address;
                    if self.state.lost.is_some() {
                        // Who connects anew may have been told something beside the screen.
                        self.screen.forget();
                    }
                    self.state.listed(*list);
                }
                Ok(Told::Lost(why)) => {
                    self.asked = None;
                    self.state.lost(why.lines().next().unwrap_or_default());
                }
                Ok(Told::Said(good, text)) => {
                    self.state.answered(good, &text);
                    // What it did is to be seen soon.
                    self.next = instant();
                }
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => {
                    return Err(Failure::failed(
                        "a thread of monit has ended; this is a fault of rpmctl",
                    ));
                }
            }
        }
    }
}
