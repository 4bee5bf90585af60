//! Serves connections and limits their number, duration and size.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, yield_now};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::connections::{Connection, Connections, TrackedStream};
use super::negotiation::ScrapeRequest;
use super::places::{Class, class_of, class_of_path};
use super::routes::{LONGEST_LOOK, Reply, View, answer, metrics, too_many};
use super::throttle::{Pace, Trouble};
use crate::model::MetricsScope;

/// Limits on what clients can take from the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections of which the first request line has not arrived. For a further one, the oldest of the client that
    /// has the most of them is closed.
    pub unknown: usize,
    /// Connections that ask /livez, /readyz or /startupz. For a further one, one that does not read its answer is
    /// closed, else the oldest of the client with the most of them.
    pub probes: usize,
    /// Connections that ask anything else. For a further one, the oldest that waits for its client is closed, else the
    /// oldest that does not read its answer, of the client with the most of them. If the runtime gathers metrics for
    /// all of them, the new one is closed.
    pub pages: usize,
    /// Metrics pages that may be in work or unread at the same time for one client. For all of them it is a quarter of
    /// `pages`.
    pub pages_of_one: usize,
    /// Bytes of pages (metrics, `/`, `/status`) that clients have not read, in all. A single page may always exceed this.
    pub unread: usize,
    /// The same for one client.
    pub unread_of_one: usize,
    /// Requests that a connection may send as fast as they are answered. Each further one has to wait for `pace`, since
    /// the last one that had to.
    pub burst: u32,
    /// Time for one request of a connection that sends too many.
    pub pace: Duration,
    /// Bytes of a request head; at least 8192, the smallest buffer of the HTTP library.
    pub head: usize,
    /// Time from the start of a connection to its first complete request head, and from each head to the next. It
    /// includes writing the answer, so a slow sender, a slow reader or an idle client cannot keep its place longer. The
    /// time for gathering metrics does not count.
    pub idle: Duration,
    /// Age at which a connection with further requests is closed after an answer.
    pub lifetime: Duration,
    /// Pause after a failed accept.
    pub accept_retry: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            unknown: 1024,
            probes: 32,
            pages: 64,
            pages_of_one: 8,
            unread: 32 << 20,
            unread_of_one: 16 << 20,
            burst: 32,
            pace: Duration::from_millis(100),
            head: 8192,
            idle: Duration::from_secs(5),
            lifetime: Duration::from_mins(1),
            accept_retry: Duration::from_millis(200),
        }
    }
}

impl ConnectionLimits {
    /// The default limits, or fewer connections where only this many descriptors can be open: not more than a quarter of
    /// them, because the workers need descriptors too.
    pub fn within(descriptors: u64) -> Self {
        let limits = Self::default();
        let most = usize::try_from(descriptors / 4).unwrap_or(usize::MAX);
        let served = limits.probes + limits.pages;
        if most >= 2 * served {
            let unknown = limits.unknown.min(most - served);
            return Self { unknown, ..limits };
        }
        let quarter = (most / 4).max(2);
        Self {
            unknown: quarter * 2,
            probes: limits.probes.min(quarter),
            pages: limits.pages.min(quarter),
            ..limits
        }
    }

    fn places(&self, class: Class) -> usize {
        match class {
            Class::Unknown => self.unknown,
            Class::Probe => self.probes,
            Class::Page => self.pages,
        }
    }

    /// Bytes that may be unread: of all clients, and of one.
    fn unread(&self) -> (usize, usize) {
        (self.unread, self.unread_of_one)
    }

    /// Most connections in all, with some that are about to close.
    fn most(&self) -> usize {
        self.unknown + self.probes + self.pages + self.pages.div_ceil(2)
    }
}

/// Serves `listener` while the future is polled, inside a tokio runtime with I/O and time. It ends only by being
/// dropped, which closes every connection.
pub async fn serve(listener: TcpListener, view: View, limits: ConnectionLimits) -> Infallible {
    serve_from(async || listener.accept().await, view, limits).await
}

/// Every connection is accepted at once, since a probe may be behind any number of others, and gets a place when its
/// first request line is known. In each turn of the loop, those that are not known yet and probes come before pages.
pub(super) async fn serve_from(
    accept: impl AsyncFn() -> io::Result<(TcpStream, SocketAddr)>,
    view: View,
    limits: ConnectionLimits,
) -> Infallible {
    let (first, then) = (LocalSet::new(), Rc::new(LocalSet::new()));
    let server = Server {
        view: Rc::new(view),
        connections: Connections::default(),
        pages: Rc::clone(&then),
        limits,
    };
    let accepting = async {
        let mut trouble = Trouble::default();
        loop {
            let (stream, client) = match accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    trouble.failed(&error);
                    // One that nobody knows may have the descriptor that a probe needs.
                    server.connections.close_one(Class::Unknown);
                    sleep(limits.accept_retry).await;
                    continue;
                }
            };
            trouble.passed();
            let connection = server.connections.add(client.ip());
            first.spawn_local(server.clone().visit(stream, connection));
            server
                .connections
                .trim(Class::Unknown, limits.unknown)
                .await;
            while server.connections.len() > limits.most() {
                // Those that were told to close have not run yet.
                yield_now().await;
            }
        }
    };
    then.run_until(first.run_until(accepting)).await
}

/// What each connection needs.
#[derive(Clone)]
struct Server {
    view: Rc<View>,
    connections: Connections,
    /// Runs those that ask for pages.
    pages: Rc<LocalSet>,
    limits: ConnectionLimits,
}

impl Server {
    /// Serves one connection to its end, or until it is known to ask for a page. Client errors are not reported, because
    /// they concern only that client.
    async fn visit(self, stream: TcpStream, connection: Rc<Connection>) {
        let here = Guard(self.connections.clone(), Rc::clone(&connection));
        // If this fails, the answer is only delayed.
        let _ = stream.set_nodelay(true);
        let born = Instant::now();
        let first = timeout_at(born + self.limits.idle, first_bytes(&stream, &connection)).await;
        let Ok(Some((head, class))) = first else {
            return;
        };
        let places = self.limits.places(class);
        if !self.connections.enter(&connection, class, places).await {
            return;
        }
        let stream = TrackedStream {
            stream,
            head,
            connection: Rc::clone(&connection),
        };
        let (pages, limits) = (Rc::clone(&self.pages), self.limits);
        // In a box, since most connections never come so far.
        let serving = Box::pin(async move {
            let _here = here;
            let all = (connection, self.connections.clone());
            serve_connection(stream, born, &self.view, limits, all).await;
        });
        if class == Class::Page {
            pages.spawn_local(serving);
        } else {
            serving.await;
        }
    }
}

/// A connection is counted for as long as this lives.
struct Guard(Connections, Rc<Connection>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.remove(&self.1);
    }
}

/// Reads until it is known what the connection asks for. `None` if it ends before, or its place is needed before.
async fn first_bytes(stream: &TcpStream, connection: &Connection) -> Option<(Vec<u8>, Class)> {
    let mut head = Vec::new();
    let mut bytes = [0; 512];
    loop {
        let count = {
            let mut read = pin!(read_some(stream, &mut bytes));
            let mut close = pin!(connection.close.notified());
            // What has arrived is read before the place is given to another.
            poll_fn(|cx| match read.as_mut().poll(cx) {
                Poll::Ready(read) => Poll::Ready(read.ok()),
                Poll::Pending => close.as_mut().poll(cx).map(|()| None),
            })
            .await?
        };
        if count == 0 {
            return None;
        }
        head.extend_from_slice(bytes.get(..count)?);
        if let Some(class) = class_of(&head) {
            return Some((head, class));
        }
    }
}

async fn read_some(stream: &TcpStream, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}

async fn serve_connection(
    stream: TrackedStream,
    born: Instant,
    view: &View,
    limits: ConnectionLimits,
    (connection, connections): (Rc<Connection>, Connections),
) {
    let deadline = Cell::new(born + limits.idle);
    let pace = Pace::new(limits.burst, limits.pace);
    let service = service_fn(|request: Request<Incoming>| {
        let now = Instant::now();
        connection.metrics_bytes.set(0);
        connection.look_bytes.set(0);
        deadline.set(now + limits.idle);
        let class = class_of_path(request.uri().path());
        let due = pace.due(now);
        let (connection, connections, deadline) = (&connection, &connections, &deadline);
        async move {
            if let Some(due) = due {
                deadline.set(due + limits.idle);
                sleep_until(due).await;
            }
            let places = limits.places(class);
            let mut response = if connections.enter(connection, class, places).await {
                // The body of a request is not read. If it is still arriving, the connection is closed after the answer.
                match answer(view, &request) {
                    Reply::Ready(response) => response,
                    Reply::Look(looking) => {
                        let all = (connection.as_ref(), connections);
                        looked(looking, all, deadline, &limits).await
                    }
                    Reply::Metrics(scrape) => {
                        let all = (connection.as_ref(), connections);
                        page(scrape, view, all, deadline, &limits).await
                    }
                }
            } else {
                connection.closing.set(true);
                too_many()
            };
            if Instant::now().duration_since(born) >= limits.lifetime || connection.closing.get() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = pin!(
        http1::Builder::new()
            .max_buf_size(limits.head.max(8192))
            // The deadline below includes this.
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), service)
    );
    loop {
        let until = deadline.get();
        let ended = {
            let mut served = pin!(timeout_at(until, Pin::as_mut(&mut http)));
            let mut close = pin!(connection.close.notified());
            poll_fn(|cx| match served.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended.is_ok())),
                Poll::Pending => close.as_mut().poll(cx).map(|()| None),
            })
            .await
        };
        let over = match ended {
            Some(ended) => ended || deadline.get() <= until,
            // Its client does not read, and another one needs the place.
            None if connection.writing.get() => true,
            None => {
                // A request that has arrived but was not processed yet is answered before closing.
                yield_now().await;
                let ended = timeout_at(born, Pin::as_mut(&mut http)).await;
                ended.is_ok() || connection.is_waiting()
            }
        };
        if over {
            return;
        }
    }
}

/// Waits until the workers were looked at for a response.
async fn looked(
    looking: impl Future<Output = Response<Full<Bytes>>>,
    (connection, connections): (&Connection, &Connections),
    deadline: &Cell<Instant>,
    limits: &ConnectionLimits,
) -> Response<Full<Bytes>> {
    // Now the client waits for us, so extend the deadline.
    connection.scraping.set(Some(MetricsScope::Runtime));
    deadline.set(Instant::now() + LONGEST_LOOK + limits.idle);
    let response = looking.await;
    connection.scraping.set(None);
    deadline.set(Instant::now() + limits.idle);
    let more = response.body().size_hint().lower();
    let more = usize::try_from(more).unwrap_or(usize::MAX);
    if !connections.fits(connection, more, limits.unread()) {
        return too_many();
    }
    connection.look_bytes.set(more);
    response
}

/// Gathers a page of metrics. Metrics may take long and a page may be large, so there are few at a time.
async fn page(
    scrape: ScrapeRequest,
    view: &View,
    (connection, connections): (&Connection, &Connections),
    deadline: &Cell<Instant>,
    limits: &ConnectionLimits,
) -> Response<Full<Bytes>> {
    if scrape.scope == MetricsScope::All {
        let (all, own) = connections.pages(connection);
        if all * 4 >= limits.pages.max(4) || own >= limits.pages_of_one {
            return too_many();
        }
    }
    // Now the client waits for us, so extend the deadline.
    connection.scraping.set(Some(scrape.scope));
    deadline.set(Instant::now() + scrape.within + limits.idle);
    let page = (view.metrics)(scrape).await;
    connection.scraping.set(None);
    deadline.set(Instant::now() + limits.idle);
    let more = page.body.len();
    if !connections.fits(connection, more, limits.unread()) {
        return too_many();
    }
    connection.metrics_bytes.set(more);
    metrics(page)
}
