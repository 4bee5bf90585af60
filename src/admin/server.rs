//! Serves connections and limits their number, duration and size.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{LocalSet, yield_now};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connections::{Connection, Connections, TrackedStream};
use super::routes::{Reply, View, answer, metrics, too_many};
use crate::model::MetricsScope;

/// Limits on what clients can take from the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Simultaneous connections. For a further one, the oldest connection that waits for its client is closed. If all
    /// are writing answers, the new connection waits for a place, and others wait in the backlog.
    pub connections: usize,
    /// Bytes of requested metrics that clients have not read, in all. A single page may always exceed this.
    pub unread: usize,
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
            connections: 64,
            unread: 32 << 20,
            head: 8192,
            idle: Duration::from_secs(5),
            lifetime: Duration::from_mins(1),
            accept_retry: Duration::from_millis(200),
        }
    }
}

/// Serves `listener` while the future is polled, inside a tokio runtime with I/O and time. It ends only by being
/// dropped, which closes every connection.
pub async fn serve(listener: TcpListener, view: View, limits: ConnectionLimits) -> Infallible {
    let accept = async || listener.accept().await.map(|(stream, _)| stream);
    serve_from(accept, view, limits).await
}

pub(super) async fn serve_from(
    accept: impl AsyncFn() -> io::Result<TcpStream>,
    view: View,
    limits: ConnectionLimits,
) -> Infallible {
    let view = Rc::new(view);
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = Connections::default();
    let accepting = async {
        loop {
            let stream = accept_next(&accept, limits.accept_retry).await;
            let place = loop {
                // The semaphore is never closed.
                if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                    break Ok(place);
                }
                connections.close_oldest();
                // The asked connection may have started an answer instead of closing; then the next one is asked.
                let freed = Arc::clone(&places).acquire_owned();
                if let Ok(place) = timeout(limits.accept_retry, freed).await {
                    break place;
                }
            };
            let connection = connections.add();
            let connections = connections.clone();
            let (view, this) = (Rc::clone(&view), Rc::clone(&connection));
            let serving = serve_connection(stream, view, limits, (this, connections.clone()));
            tokio::task::spawn_local(async move {
                serving.await;
                connections.remove(&connection);
                drop(place);
            });
        }
    };
    LocalSet::new().run_until(accepting).await
}

/// The next connection. An error mostly means a temporary lack of descriptors or memory, so this waits and tries again.
/// It logs one line when the errors begin and one when they end.
async fn accept_next(
    accept: &impl AsyncFn() -> io::Result<TcpStream>,
    accept_retry: Duration,
) -> TcpStream {
    let mut failures = 0_u64;
    loop {
        match accept().await {
            Ok(stream) => {
                if failures > 0 {
                    tracing::info!(failures, "admin connections are accepted again");
                }
                return stream;
            }
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(%error, "cannot accept admin connections; trying again");
                }
                failures = failures.saturating_add(1);
                sleep(accept_retry).await;
            }
        }
    }
}

/// Serves one connection to its end. Client errors are not reported, because they concern only that client.
async fn serve_connection(
    stream: TcpStream,
    view: Rc<View>,
    limits: ConnectionLimits,
    (connection, connections): (Rc<Connection>, Connections),
) {
    // If this fails, the answer is only delayed.
    let _ = stream.set_nodelay(true);
    let born = Instant::now();
    let deadline = Cell::new(born + limits.idle);
    let service = service_fn(|request: Request<Incoming>| {
        let now = Instant::now();
        connection.page_bytes.set(0);
        deadline.set(now + limits.idle);
        // The body of a request is not read. If it is still arriving, the connection is closed after the answer.
        let mut reply = answer(&view, &request);
        // Metrics may take long, and probes need places too.
        if let Reply::Metrics(scrape) = &reply
            && scrape.scope == MetricsScope::All
            && connections.waiting_for_metrics() * 4 >= limits.connections.max(4)
        {
            reply = Reply::Ready(too_many());
        }
        let (view, connection, connections, deadline) =
            (&view, &connection, &connections, &deadline);
        async move {
            let mut response = match reply {
                Reply::Ready(response) => response,
                Reply::Metrics(scrape) => {
                    // Now the client waits for us, so extend the deadline.
                    connection.scraping.set(Some(scrape.scope));
                    deadline.set(now + scrape.within + limits.idle);
                    let page = (view.metrics)(scrape).await;
                    connection.scraping.set(None);
                    deadline.set(Instant::now() + limits.idle);
                    let unread = connections.unread();
                    if unread > 0 && unread + page.body.len() > limits.unread {
                        connection.page_bytes.set(0);
                        too_many()
                    } else {
                        connection.page_bytes.set(page.body.len());
                        metrics(page)
                    }
                }
            };
            if Instant::now().duration_since(born) >= limits.lifetime || connection.closing.get() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let io = TokioIo::new(TrackedStream {
        stream,
        connection: Rc::clone(&connection),
    });
    let mut http = pin!(
        http1::Builder::new()
            .max_buf_size(limits.head.max(8192))
            // The deadline below includes this.
            .header_read_timeout(None)
            .serve_connection(io, service)
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
        let over = if let Some(ended) = ended {
            ended || deadline.get() <= until
        } else {
            // A request that has arrived but was not processed yet is answered before closing.
            yield_now().await;
            let ended = timeout_at(born, Pin::as_mut(&mut http)).await;
            ended.is_ok() || !connection.is_busy()
        };
        if over {
            return;
        }
    }
}
