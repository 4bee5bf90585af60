//! A minimal HTTP client: one connection, one request after the other.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use super::patience;

/// An answer: its head as received, and its body without chunk headers.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The value of a header; the name is case-insensitive.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(':'));
        headers
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// The PID of the answering process, for the example servers.
    #[track_caller]
    pub fn pid(&self) -> i64 {
        self.json()["pid"]
            .as_i64()
            .unwrap_or_else(|| panic!("no pid: {}", self.text()))
    }
}

/// A connection that stays open between requests.
pub struct Connection {
    reader: BufReader<TcpStream>,
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        Self {
            reader: BufReader::new(stream),
        }
    }
}

impl Connection {
    pub fn open(address: impl ToSocketAddrs) -> io::Result<Self> {
        let address = address
            .to_socket_addrs()?
            .next()
            .ok_or(io::ErrorKind::InvalidInput)?;
        let stream = TcpStream::connect_timeout(&address, patience())?;
        stream.set_read_timeout(Some(patience()))?;
        stream.set_write_timeout(Some(patience()))?;
        stream.set_nodelay(true)?;
        Ok(stream.into())
    }

    pub fn get(&mut self, path: &str) -> io::Result<Reply> {
        self.request(path, &[])
    }

    /// GET with further header lines, such as `"Accept: text/plain"`.
    pub fn request(&mut self, path: &str, headers: &[&str]) -> io::Result<Reply> {
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n");
        for header in headers {
            head += header;
            head += "\r\n";
        }
        self.reader
            .get_mut()
            .write_all((head + "\r\n").as_bytes())?;
        self.reply()
    }

    /// Reads one answer to a request that was sent through [`Connection::stream`].
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.reader.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status: {head:?}")))?;
        let mut reply = Reply {
            status,
            head,
            body: Vec::new(),
        };
        if reply
            .header("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        {
            while self.chunk(&mut reply.body)? {}
        } else if let Some(length) = reply
            .header("content-length")
            .and_then(|length| length.parse().ok())
        {
            reply.body.resize(length, 0);
            self.reader.read_exact(&mut reply.body)?;
        } else {
            self.reader.read_to_end(&mut reply.body)?;
        }
        Ok(reply)
    }

    /// False at the last chunk.
    fn chunk(&mut self, body: &mut Vec<u8>) -> io::Result<bool> {
        let mut size = String::new();
        self.reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim().split(';').next().unwrap_or(""), 16)
            .map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + size, 0);
        self.reader.read_exact(&mut body[start..])?;
        self.reader.read_line(&mut String::new())?;
        Ok(size > 0)
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        self.reader.get_mut()
    }
}

/// One request on a new connection, closed after the answer.
pub fn http_get(address: impl ToSocketAddrs, path: &str) -> io::Result<Reply> {
    Connection::open(address)?.request(path, &["Connection: close"])
}
