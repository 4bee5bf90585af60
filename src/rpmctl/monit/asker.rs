//! Asks the runtime, on a thread of its own: while an answer is late, keys and signals are obeyed.

use std::sync::mpsc::{Receiver, Sender, channel};

use rpm_runtime::control::Address;
use rpm_runtime::control::protocol::{Begun, Command, Done, List, Scaled};
use rpm_runtime::sys::thread::start;

use super::model::Order;
use super::wake::Waker;
use crate::args::Globals;
use crate::connection::Connection;
use crate::exit::Failure;

/// The list of 512 workers is read here.
const STACK: usize = 1 << 20;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Question {
    List,
    Order(Order),
}

/// What came of it.
#[derive(Debug)]
pub enum Told {
    /// The workers, and where the answer came from.
    Listed(Box<List>, Address),
    /// No runtime answers.
    Lost(String),
    /// A command ended, well or not.
    Said(bool, String),
}

/// The thread, as the driver sees it.
#[derive(Debug)]
pub struct Asker {
    pub questions: Sender<Question>,
    pub told: Receiver<Told>,
}

impl Asker {
    /// Goes on with a connection, and opens another one when it breaks.
    pub fn start(connection: Connection, globals: Globals, waker: Waker) -> Result<Self, Failure> {
        let (questions, asked) = channel();
        let (tell, told) = channel();
        let body = move || {
            let mut line = Line {
                connection: Some(connection),
                globals,
            };
            for question in asked {
                if tell.send(line.ask(question)).is_err() {
                    return;
                }
                waker.wake();
            }
        };
        start("asker", STACK, body)
            .map_err(|errno| Failure::failed(format!("cannot start a thread: {errno}")))?;
        Ok(Self { questions, told })
    }
}

struct Line {
    connection: Option<Connection>,
    globals: Globals,
}

impl Line {
    fn ask(&mut self, question: Question) -> Told {
        match question {
            Question::List => match self.with(list) {
                Ok((list, address)) => Told::Listed(list, address),
                Err(failure) => {
                    self.connection = None;
                    Told::Lost(failure.why().to_owned())
                }
            },
            Question::Order(order) => match self.with(|connection| perform(connection, order)) {
                Ok(text) => Told::Said(true, text),
                Err(failure) => {
                    // It may be broken; another one costs little.
                    self.connection = None;
                    Told::Said(false, failure.why().to_owned())
                }
            },
        }
    }

    fn with<T>(
        &mut self,
        ask: impl FnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.globals)?,
        };
        ask(self.connection.insert(connection))
    }
}

fn list(connection: &mut Connection) -> Result<(Box<List>, Address), Failure> {
    let list = connection.ask::<List>(Command::List)?.value;
    Ok((Box::new(list), connection.address().clone()))
}

fn perform(connection: &mut Connection, order: Order) -> Result<String, Failure> {
    match order {
        Order::Reload => {
            let Begun { reload, remembered } = connection.ask::<Begun>(Command::Reload)?.value;
            let what = if remembered {
                "follows the one in progress"
            } else {
                "has begun"
            };
            Ok(format!("reload {reload} {what}"))
        }
        Order::Restart(slot) => {
            connection.ask::<Done>(Command::Restart { slot: Some(slot) })?;
            Ok(format!("the worker of slot {slot} is replaced"))
        }
        Order::Scale(by) => {
            let command = Command::Scale {
                to: None,
                by: Some(by),
            };
            let Scaled { from, to } = connection.ask::<Scaled>(command)?.value;
            Ok(format!("{to} workers instead of {from}"))
        }
    }
}
