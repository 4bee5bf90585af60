//! Requests that took long, with what a person needs to find out why.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// A request that takes longer is kept individually.
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// One slow request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    /// When it was sent, since the start of the load.
    pub at: Duration,
    /// From when it was due until its complete answer.
    pub took: Duration,
    /// How long the connection took of that; `None` for one that was open already.
    pub connect: Option<Duration>,
    /// From the request until the first byte of its answer.
    pub first_byte: Duration,
    /// The client's address of the connection.
    pub client: Option<SocketAddr>,
    /// The process that answered, if it says.
    pub pid: Option<i64>,
    /// It was sent again on a new connection.
    pub resent: bool,
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: Duration| time.as_millis();
        write!(f, "at {} ms: {} ms", millis(self.at), millis(self.took))?;
        match self.connect {
            Some(time) => write!(f, ", connected after {} ms", millis(time))?,
            None => write!(f, ", on an open connection")?,
        }
        write!(f, ", first byte after {} ms", millis(self.first_byte))?;
        if self.resent {
            write!(f, ", sent again")?;
        }
        if let Some(pid) = self.pid {
            write!(f, ", answered by {pid}")?;
        }
        if let Some(client) = self.client {
            write!(f, " (client {client})")?;
        }
        Ok(())
    }
}
