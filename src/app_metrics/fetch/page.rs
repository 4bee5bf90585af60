//! Fetches a page of one worker: its metrics.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::{timeout, timeout_at};

use crate::checks::client::{Connection, Deadline, MOST_BYTES, USER_AGENT, escaped};
use crate::checks::{Failure, Step, Target};

use super::error::{FetchError, Redirect};
use super::unpack::Unpacker;
use super::wire::Wire;

/// The formats that we read, the preferred one first, as Prometheus requests them.
const ACCEPT: &str =
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// Limit of pieces in a page: the first number, plus one piece per the second number of bytes. Each piece costs the
/// same, however short it is. A program that writes each line separately stays far below.
const PIECES: (usize, usize) = (50_000, 64);

/// How servers answer with status 400 to a plain request on a TLS port: Go, nginx, Apache.
const TOLD_OF_TLS: [&str; 3] = [
    "HTTP request to an HTTPS server",
    "HTTP request was sent to HTTPS port",
    "HTTP to an SSL-enabled server port",
];

/// How many bytes of the answer are searched for that, and for how long.
const TOLD_WITHIN: (usize, Duration) = (4096, Duration::from_millis(200));

/// A page as the worker sent it, decompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The Content-Type of the answer.
    pub content_type: Option<String>,
    /// The page.
    pub body: Vec<u8>,
}

/// Sends `GET path` to one worker and returns the page, complete or not at all. Follows one redirect to another path of
/// the same port. The whole takes at most `limit`. The page has at most `most` bytes, both as received and decompressed;
/// the rest of the answer is limited too. Dropping the future closes the connection.
pub async fn page(
    target: Target,
    path: &str,
    limit: Duration,
    most: usize,
) -> Result<Fetched, FetchError> {
    let deadline = Deadline::new(limit);
    let mut answer = one_page(target, path, limit, &deadline, most).await;
    if let Err(FetchError::Redirect(redirect)) = &mut answer
        && let Some(path) = redirect.path_here(path, target.addr)
    {
        answer = one_page(target, &path, limit, &deadline, most).await;
        if let Err(FetchError::Redirect(second)) = &mut answer {
            second.is_second = true;
        }
    }
    answer
}

async fn one_page(
    target: Target,
    path: &str,
    limit: Duration,
    deadline: &Deadline,
    most: usize,
) -> Result<Fetched, FetchError> {
    let request = request(target, path, limit)?;
    let mut connection = Connection::open(target, deadline).await?;
    let outcome = fetch(&mut connection, request, deadline, most).await;
    let _ = timeout_at(deadline.at(limit), connection.see_off(limit)).await;
    outcome
}

pub(super) fn request(
    target: Target,
    path: &str,
    limit: Duration,
) -> Result<Request<Empty<Bytes>>, FetchError> {
    Request::builder()
        .uri(escaped(path))
        .header(header::HOST, format!("localhost:{}", target.addr.port()))
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, ACCEPT)
        .header(header::ACCEPT_ENCODING, "gzip")
        .header(header::CONNECTION, "close")
        .header(
            "x-prometheus-scrape-timeout-seconds",
            limit.as_secs_f64().to_string(),
        )
        .body(Empty::new())
        .map_err(|error| FetchError::NotAsked(format!("its path cannot be asked for: {error}")))
}

pub(super) async fn fetch(
    connection: &mut Connection,
    request: Request<Empty<Bytes>>,
    deadline: &Deadline,
    most: usize,
) -> Result<Fetched, FetchError> {
    let (mut sender, talk) = http1::Builder::new()
        .max_buf_size(MOST_BYTES)
        // Some programs do not know that header names are case-insensitive.
        .title_case_headers(true)
        .handshake(TokioIo::new(Wire::new(connection)))
        .await?;
    let mut talk = pin!(async {
        // Errors are reported through the request and the body.
        let _ = talk.await;
        pending::<()>().await;
    });
    let answer = alongside(talk.as_mut(), sender.send_request(request));
    let answer = async { Ok(answer.await) };
    let answer = deadline.step(Step::Answer, answer).await??;
    let page = alongside(talk.as_mut(), read(answer, most));
    let page = async { Ok(page.await) };
    deadline.step(Step::Page, page).await?
}

/// Polls `work` together with `talk`, which drives the connection.
async fn alongside<T>(
    mut talk: Pin<&mut impl Future<Output = ()>>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    poll_fn(|context| match talk.as_mut().poll(context) {
        Poll::Ready(()) | Poll::Pending => work.as_mut().poll(context),
    })
    .await
}

async fn read(answer: Response<Incoming>, most: usize) -> Result<Fetched, FetchError> {
    let (head, mut body) = answer.into_parts();
    let headers = &head.headers;
    let status = head.status.as_u16();
    match head.status {
        StatusCode::OK => {}
        StatusCode::BAD_REQUEST if tells_of_tls(&mut body).await => {
            return Err(FetchError::Tls(Failure::Status(status)));
        }
        redirect if redirect.is_redirection() => {
            let to = headers.get(header::LOCATION).map(HeaderValue::as_bytes);
            return Err(Redirect::new(status, to.unwrap_or_default()).into());
        }
        _ => return Err(Failure::Status(status).into()),
    }
    let gzip = is_gzip(headers)?;
    let length = body.size_hint();
    if usize::try_from(length.lower()).unwrap_or(usize::MAX) > most {
        return Err(FetchError::TooLong { most });
    }
    let (mut received, mut pieces) = (0, 0);
    let mut page = Unpacker::new(gzip, most);
    while let Some(frame) = body.frame().await {
        // Other frames are trailers.
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        received += data.len();
        if received > most {
            return Err(FetchError::TooLong { most });
        }
        pieces += 1;
        if pieces > PIECES.0 + received / PIECES.1 {
            return Err(FetchError::Crumbs);
        }
        page.take(&data).await?;
    }
    let body = page.finish()?;
    let to_the_close = length.exact().is_none() && !is_chunked(headers);
    if to_the_close && !gzip && !ends_well(&body) {
        return Err(FetchError::Cut);
    }
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type =
        content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    Ok(Fetched { content_type, body })
}

async fn tells_of_tls(body: &mut Incoming) -> bool {
    let mut text = Vec::new();
    let begin = async {
        while text.len() < TOLD_WITHIN.0
            && let Some(Ok(frame)) = body.frame().await
        {
            text.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
    };
    // If the limit passes, search in what has arrived.
    let _ = timeout(TOLD_WITHIN.1, begin).await;
    let text = String::from_utf8_lossy(&text);
    TOLD_OF_TLS.iter().any(|told| text.contains(told))
}

/// Whether the body is compressed by gzip and by nothing else.
fn is_gzip(headers: &HeaderMap) -> Result<bool, FetchError> {
    let all = joined(headers, header::CONTENT_ENCODING);
    let names = all.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let names: Vec<&[u8]> = names
        .filter(|name| !name.is_empty() && *name != b"identity")
        .collect();
    match names[..] {
        [] => Ok(false),
        [b"gzip" | b"x-gzip"] => Ok(true),
        _ => Err(FetchError::encoding(&all)),
    }
}

fn is_chunked(headers: &HeaderMap) -> bool {
    joined(headers, header::TRANSFER_ENCODING).ends_with(b"chunked")
}

/// All values of a list header, in lower case.
fn joined(headers: &HeaderMap, name: header::HeaderName) -> Vec<u8> {
    let values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    values.collect::<Vec<_>>().join(&b',').to_ascii_lowercase()
}

/// If the page ends with the connection, nothing tells whether it is complete or the worker died. A complete page of
/// metrics ends with a whole line.
fn ends_well(page: &[u8]) -> bool {
    page.ends_with(b"\n") || page.ends_with(b"# EOF")
}
