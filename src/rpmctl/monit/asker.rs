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
use crate::reload::what_began;

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
                address: connection.address().clone(),
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
    /// The one that gave the list on the screen. Only a list opens another one.
    connection: Option<Connection>,
    /// Where it leads, or led.
    address: Address,
    globals: Globals,
}

impl Line {
    fn ask(&mut self, question: Question) -> Told {
        match question {
            Question::List => match self.list() {
                Ok(list) => Told::Listed(list, self.address.clone()),
                Err(failure) => Told::Lost(failure.why().to_owned()),
            },
            Question::Order(order) => match self.order(order) {
                Ok(text) => Told::Said(true, text),
                Err(failure) => Told::Said(false, failure.why().to_owned()),
            },
        }
    }

    fn list(&mut self) -> Result<Box<List>, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::again(&self.globals, &self.address)?,
        };
        let list = connection.ask::<List>(Command::List)?.value;
        self.address = connection.address().clone();
        self.connection = Some(connection);
        Ok(Box::new(list))
    }

    /// Only the runtime that the person saw gets it: another one may have other workers.
    fn order(&mut self, order: Order) -> Result<String, Failure> {
        let Some(connection) = &mut self.connection else {
            return Err(Failure::failed("not sent: the connection was lost"));
        };
        let outcome = perform(connection, order);
        if outcome.as_ref().is_err_and(Failure::is_none) {
            self.connection = None;
        }
        outcome
    }
}

fn perform(connection: &mut Connection, order: Order) -> Result<String, Failure> {
    match order {
        Order::Reload => {
            let begun = connection.ask::<Begun>(Command::Reload)?.value;
            Ok(what_began(&begun))
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::thread;

    use super::super::fixtures;
    use super::*;

    /// Answers each `list` with this pid, and refuses all else.
    fn serve(stream: &UnixStream, pid: u32) {
        let mut list = fixtures::list(1);
        list.runtime.pid = pid;
        let list = serde_json::to_string(&list).unwrap();
        let mut to = stream;
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let answer = if line.contains("list") {
                format!("{{\"v\":1,\"result\":{list}}}")
            } else {
                "{\"v\":1,\"error\":{\"kind\":\"refused\",\"text\":\"no\"}}".to_owned()
            };
            // It may be gone.
            let _ = writeln!(to, "{answer}");
        }
    }

    /// A directory where runtimes with these pids listen, and the line to the first one.
    fn line(test: &str, pids: &[u32]) -> (PathBuf, Line) {
        let home = std::env::temp_dir().join(format!("rpm-asker-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&home);
        fs::create_dir(&home).unwrap();
        for pid in pids {
            let listener = UnixListener::bind(home.join(format!("{pid}-5.sock"))).unwrap();
            let pid = *pid;
            thread::spawn(move || {
                for stream in listener.incoming() {
                    thread::spawn(move || serve(&stream.unwrap(), pid));
                }
            });
        }
        let address = Address::Path(home.join(format!("{}-5.sock", pids[0])));
        let globals = |socket: Option<Address>| Globals {
            home: Some(home.clone()).filter(|_| socket.is_none()),
            pid: None,
            socket,
            json: false,
        };
        let connection = Connection::open(&globals(Some(address.clone()))).unwrap();
        let line = Line {
            address,
            connection: Some(connection),
            globals: globals(None),
        };
        (home, line)
    }

    #[test]
    fn a_refused_command_loses_no_connection() {
        let (home, mut line) = line("refused", &[1]);
        let told = line.ask(Question::Order(Order::Reload));
        assert!(matches!(&told, Told::Said(false, why) if why == "no"));
        assert!(line.connection.is_some());
        fs::remove_dir_all(&home).unwrap();
        // The directory is gone, so there is no other connection.
        assert!(matches!(line.ask(Question::List), Told::Listed(..)));
    }

    #[test]
    fn a_command_goes_only_to_the_runtime_that_was_shown() {
        let (home, mut line) = line("lost", &[1]);
        line.connection = None;
        let told = line.ask(Question::Order(Order::Scale(1)));
        let not_sent = "not sent: the connection was lost";
        assert!(matches!(&told, Told::Said(false, why) if why == not_sent));
        assert!(line.connection.is_none());
        assert!(matches!(line.ask(Question::List), Told::Listed(..)));
        let told = line.ask(Question::Order(Order::Scale(1)));
        assert!(matches!(&told, Told::Said(false, why) if why == "no"));
        fs::remove_dir_all(&home).unwrap();
    }

    #[test]
    fn a_lost_connection_is_opened_again_to_the_same_runtime() {
        for pids in [[1, 2], [2, 1]] {
            let (home, mut line) = line(&format!("again-{}", pids[0]), &pids);
            line.connection = None;
            let Told::Listed(list, address) = line.ask(Question::List) else {
                panic!("{pids:?}");
            };
            assert_eq!((list.runtime.pid, address), (pids[0], line.address.clone()));
            fs::remove_dir_all(&home).unwrap();
        }
    }
}
