//! One client: its connection, its requests, and their results.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::linger;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, connect, recv,
    setsockopt, socket, sockopt,
};

use super::outcome::{Failure, Kind};
use super::report::Report;
use super::slow::{SLOW, Slow};
use super::{Plan, Style};

/// Longer answers do not come from the tested programs.
const MOST: usize = 1 << 20;

/// A connection between two requests.
struct Kept {
    stream: TcpStream,
    answers: u32,
}

/// A right answer.
struct Answer {
    came: Instant,
    took: Took,
    client: Option<SocketAddr>,
    pid: Option<i64>,
    kept: Option<Kept>,
}

/// How long the parts of a request took.
#[derive(Clone, Copy)]
struct Took {
    /// `None`: the connection was open already.
    connect: Option<Duration>,
    first_byte: Duration,
}

/// One client of a load; its results are in `report`.
pub(super) struct Client<'a> {
    plan: &'a Plan,
    began: Instant,
    kept: Option<Kept>,
    buffer: Vec<u8>,
    /// When the first byte of the present answer came.
    first_byte: Option<Instant>,
    /// Number of connections so far, and the first source address.
    connections: u32,
    pub report: Report,
}

impl<'a> Client<'a> {
    pub(super) fn new(plan: &'a Plan, number: u32, began: Instant) -> Self {
        Self {
            plan,
            began,
            kept: None,
            buffer: Vec::with_capacity(4096),
            first_byte: None,
            connections: number,
            report: Report::default(),
        }
    }

    /// Sends the request with this number, which was `due` then, and counts the result. True if it was answered.
    pub(super) fn ask(&mut self, number: u64, due: Instant) -> bool {
        let nonce = super::nonce(number % self.plan.nonces.unwrap_or(u64::MAX));
        let mut result = self.attempt(&nonce);
        let resent = self.report.resent;
        if !self.plan.strict
            && result
                .as_ref()
                .is_err_and(|fault| fault.kind.may_be_resent())
        {
            self.report.resent += 1;
            result = self.attempt(&nonce);
        }
        let micros = |end: Instant| {
            let took = end.saturating_duration_since(due);
            u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
        };
        let answered = result.is_ok();
        match result {
            Ok(answer) => {
                self.report.answered += 1;
                let took = answer.came.saturating_duration_since(due);
                if took > SLOW {
                    self.report.slow(Slow {
                        at: due.saturating_duration_since(self.began),
                        took,
                        connect: answer.took.connect,
                        first_byte: answer.took.first_byte,
                        client: answer.client,
                        pid: answer.pid,
                        resent: self.report.resent > resent,
                    });
                }
                self.report.latency.add(micros(answer.came));
                if let Some(pid) = answer.pid {
                    *self.report.by_pid.entry(pid).or_default() += 1;
                }
                self.kept = answer.kept;
            }
            Err(fault) => {
                if fault.kind == Kind::Timeout {
                    self.report.latency.add(micros(Instant::now()));
                }
                self.report.fail(fault);
            }
        }
        answered
    }

    fn attempt(&mut self, nonce: &str) -> Result<Answer, Failure> {
        let sent = Instant::now();
        // As real clients do: a connection that the server has closed since the last answer is not used again.
        let kept = self.kept.take();
        let over = kept.as_ref().is_some_and(|kept| is_over(&kept.stream));
        self.report.ended += u64::from(over);
        let kept = kept.filter(|_| !over);
        let reused = kept.is_some();
        let Kept {
            mut stream,
            answers,
        } = kept.map_or_else(|| self.open(), Ok)?;
        let connect = (!reused).then(|| sent.elapsed());

        self.buffer.clear();
        let connection = match self.plan.style {
            Style::Short => "Connection: close\r\n",
            Style::KeepAlive | Style::Bounded(_) => "",
        };
        write!(
            self.buffer,
            "GET {}{nonce} HTTP/1.1\r\nHost: localhost\r\n{connection}\r\n",
            self.plan.path
        )
        .map_err(|error| self.fault(&error, reused, 0, None))?;
        if let Err(error) = stream.write_all(&self.buffer) {
            return Err(self.fault(&error, reused, 0, Some(&stream)));
        }
        self.buffer.clear();
        let asked = Instant::now();
        let head = match self.receive(&mut stream, sent) {
            Ok(head) => head,
            Err(error) => {
                let answered = self.buffer.len();
                return Err(self.fault(&error, reused, answered, Some(&stream)));
            }
        };
        let pid = self.judge(&head, nonce).map_err(|(kind, text)| Failure {
            kind,
            at: self.began.elapsed(),
            client: stream.local_addr().ok(),
            text,
        })?;
        let came = Instant::now();
        let first_byte = self.first_byte.map_or(Duration::ZERO, |first| {
            first.saturating_duration_since(asked)
        });
        let client = stream.local_addr().ok();
        let answers = answers + 1;
        let wanted = match self.plan.style {
            Style::Short => false,
            Style::KeepAlive => true,
            Style::Bounded(most) => answers < most,
        };
        let mut kept = None;
        if wanted && head.keeps {
            kept = Some(Kept { stream, answers });
        } else if !head.keeps {
            // The side that closes first keeps the port in TIME_WAIT. Let it be the server, which announced the close.
            let _ = stream.read(&mut [0]);
        }
        Ok(Answer {
            came,
            took: Took {
                connect,
                first_byte,
            },
            client,
            pid,
            kept,
        })
    }

    /// Reads a complete answer into the buffer.
    fn receive(&mut self, stream: &mut TcpStream, sent: Instant) -> io::Result<Head> {
        let mut head: Option<Head> = None;
        self.first_byte = None;
        loop {
            let from = self.buffer.len();
            self.buffer.resize(from + 4096, 0);
            let result = stream.read(&mut self.buffer[from..]);
            self.buffer
                .truncate(from + result.as_ref().copied().unwrap_or(0));
            let end = result? == 0;
            self.first_byte.get_or_insert_with(Instant::now);
            if head.is_none() {
                head = Head::parse(&self.buffer)?;
            }
            match &head {
                Some(head) if head.length.is_none() && end => break,
                Some(head)
                    if head
                        .length
                        .is_some_and(|length| self.buffer.len() >= head.size + length) =>
                {
                    break;
                }
                _ if end => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ if sent.elapsed() > self.plan.patience => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                _ if self.buffer.len() > MOST => return Err(io::Error::other("an endless answer")),
                _ => {}
            }
        }
        head.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Checks whether this is the answer to the request. Returns the PID of the answering process, if known.
    fn judge(&self, head: &Head, nonce: &str) -> Result<Option<i64>, (Kind, String)> {
        let body = String::from_utf8_lossy(&self.buffer[head.size..]);
        if head.status != 200 {
            return Err((Kind::WrongStatus, format!("status {}: {body}", head.status)));
        }
        let size = self.buffer.len() - head.size;
        let too_long = head.length.is_some_and(|length| length != size);
        if too_long || (self.plan.checked && !body.contains(nonce)) {
            return Err((Kind::WrongBody, format!("{nonce} was answered {body:?}")));
        }
        let rest = body
            .split_once("\"pid\":")
            .map(|(_, rest)| rest.trim_start());
        let number =
            rest.and_then(|rest| rest.split(|letter: char| !letter.is_ascii_digit()).next());
        Ok(number.and_then(|number| number.parse().ok()))
    }

    fn fault(
        &self,
        error: &io::Error,
        reused: bool,
        answered: usize,
        stream: Option<&TcpStream>,
    ) -> Failure {
        let kind = Kind::of(error, reused, answered);
        Failure {
            kind,
            at: self.began.elapsed(),
            client: stream.and_then(|stream| stream.local_addr().ok()),
            text: format!("{}, {answered} bytes in: {error}", kind.name()),
        }
    }

    fn open(&mut self) -> Result<Kept, Failure> {
        self.connections = self.connections.wrapping_add(1);
        let source = match (self.plan.sources, self.plan.address) {
            (1.., SocketAddr::V4(_)) => {
                // 127.1.0.1 and so on.
                let host = self.connections % u32::from(self.plan.sources);
                Some(Ipv4Addr::from_bits(
                    Ipv4Addr::new(127, 1, 0, 1).to_bits() + host,
                ))
            }
            _ => None,
        };
        let stream = socket_for(self.plan, source);
        let stream = stream.map_err(|error| self.fault(&error, false, 0, None))?;
        // `TcpStream::connect_timeout` closes a failed socket, so the client's address would be unknown.
        let connected = match &self.plan.unix {
            Some(path) => {
                UnixAddr::new(path).and_then(|address| connect(stream.as_raw_fd(), &address))
            }
            None => connect(
                stream.as_raw_fd(),
                &SockaddrStorage::from(self.plan.address),
            ),
        };
        match connected {
            Ok(()) => Ok(Kept { stream, answers: 0 }),
            Err(error) => {
                let error = match error {
                    nix::Error::EINPROGRESS => io::ErrorKind::TimedOut.into(),
                    error => error.into(),
                };
                Err(self.fault(&error, false, 0, Some(&stream)))
            }
        }
    }
}

/// A socket with a time limit for every wait.
fn socket_for(plan: &Plan, source: Option<Ipv4Addr>) -> io::Result<TcpStream> {
    // The type is that of a TCP connection; what is used of it works with a unix socket too.
    let family = if plan.unix.is_some() {
        AddressFamily::Unix
    } else if plan.address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let fd: OwnedFd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    if let Some(source) = source {
        // An address in TIME_WAIT may be used.
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        let source = SocketAddr::from((source, 0));
        bind(fd.as_raw_fd(), &SockaddrStorage::from(source))?;
    }
    if plan.abrupt {
        let at_once = linger {
            l_onoff: 1,
            l_linger: 0,
        };
        setsockopt(&fd, sockopt::Linger, &at_once)?;
    }
    let stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(plan.patience))?;
    // This limits `connect` as well.
    stream.set_write_timeout(Some(plan.patience))?;
    Ok(stream)
}

/// The needed part of an answer's head.
struct Head {
    status: u16,
    /// Length of the body, if the server sends it.
    length: Option<usize>,
    /// The server keeps the connection open.
    keeps: bool,
    /// Size of the head, bytes.
    size: usize,
}

impl Head {
    /// `None` until the head is complete.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let text = str::from_utf8(bytes).unwrap_or_default();
        let Some((text, _)) = text.split_once("\r\n\r\n") else {
            return Ok(None);
        };
        let wrong = || io::Error::other(format!("no head of an answer: {text:?}"));
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let mut head = Self {
            keeps: words.next() == Some("HTTP/1.1"),
            status: words
                .next()
                .and_then(|word| word.parse().ok())
                .ok_or_else(wrong)?,
            length: None,
            size: text.len() + 4,
        };
        for line in lines {
            let (name, value) = line.split_once(':').ok_or_else(wrong)?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.length = Some(value.parse().map_err(|_| wrong())?);
            } else if name.eq_ignore_ascii_case("connection") {
                head.keeps = !value.eq_ignore_ascii_case("close");
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                // None of the tested programs does this.
                return Err(wrong());
            }
        }
        head.keeps &= head.length.is_some();
        Ok(Some(head))
    }
}

/// Whether the other side has closed or reset the connection, as far as is known.
fn is_over(stream: &TcpStream) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(stream.as_raw_fd(), &mut [0], flags) != Err(Errno::EAGAIN)
}
