//! Answers requests by path.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

use crate::model::{AppInfo, HandoverInfo, Look, MetricsScope, ObservationInfo, Snapshot};

use super::negotiation::{MetricsPage, PendingPage, ScrapeRequest};
use super::page;
use super::status::{About, Readiness, Status};

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// A look at the workers that will be ready later.
pub type PendingLook = Pin<Box<dyn Future<Output = Look>>>;

/// The data for all endpoints. Each closure is called once for a request that needs it. Only `look` and `metrics` may take
/// long.
pub struct View {
    /// Facts that do not change.
    pub about: About,
    /// The application.
    pub app: Box<dyn Fn() -> AppInfo>,
    /// Why the runtime cannot do its work any more, if so.
    pub fault: Box<dyn Fn() -> Option<String>>,
    /// The fleet.
    pub snapshot: Box<dyn Fn() -> Snapshot>,
    /// How workers get their listener of the shared port.
    pub handover: Box<dyn Fn() -> HandoverInfo>,
    /// What is observed of single workers.
    pub observation: ObservationInfo,
    /// Everything that is shown of the workers. It takes milliseconds, and [`LONGEST_LOOK`] at most.
    pub look: Box<dyn Fn() -> PendingLook>,
    /// What happened last, the latest at the end: objects with `time` (seconds since 1970), `event`, and fields of that event.
    pub events: Box<dyn Fn() -> Vec<Value>>,
    /// A metrics page, in the format that the client accepts. It may take as long as the request says and a moment more.
    pub metrics: Box<dyn Fn(ScrapeRequest) -> PendingPage>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// The longest time that a look may take.
pub const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// The answer to a request.
pub(super) enum Reply<'a> {
    /// A finished response.
    Ready(Response<Full<Bytes>>),
    /// A response for which the workers must be looked at first.
    Look(Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + 'a>>),
    /// A metrics page, which must be gathered first.
    Metrics(ScrapeRequest),
}

/// Answers a request. For HEAD, the HTTP library omits the body but keeps its length.
pub(super) fn answer<'a, B>(view: &'a View, request: &Request<B>) -> Reply<'a> {
    let method = request.method();
    let answer: fn(&'a View, &HeaderMap) -> Reply<'a> = match request.uri().path() {
        "/" => |view, _| Reply::Look(Box::pin(page(view))),
        "/livez" => |view, _| Reply::Ready(alive(view)),
        "/readyz" => |view, _| probe(&(view.snapshot)(), |snapshot| snapshot.ready),
        "/startupz" => |view, _| probe(&(view.snapshot)(), |snapshot| snapshot.started),
        "/status" => |view, _| Reply::Look(Box::pin(status(view))),
        "/metrics" => |_, headers| Reply::Metrics(ScrapeRequest::of(MetricsScope::All, headers)),
        "/metrics/runtime" => {
            |_, headers| Reply::Metrics(ScrapeRequest::of(MetricsScope::Runtime, headers))
        }
        _ => {
            let missing = "no such page; / lists them\n";
            return Reply::Ready(body(StatusCode::NOT_FOUND, TEXT, missing));
        }
    };
    if *method == Method::GET || *method == Method::HEAD {
        return answer(view, request.headers());
    }
    let mut refusal = body(
        StatusCode::METHOD_NOT_ALLOWED,
        TEXT,
        "read-only: GET or HEAD\n",
    );
    refusal
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    Reply::Ready(refusal)
}

/// A metrics page as a response.
pub(super) fn metrics(page: MetricsPage) -> Response<Full<Bytes>> {
    let mut response = body(StatusCode::OK, page.content_type, page.body);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if page.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// The response if too many pages are being made or are not read by their clients.
pub(super) fn too_many() -> Response<Full<Bytes>> {
    let text = "too many pages are being made, or are not read; ask again later\n";
    body(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
}

fn alive(view: &View) -> Response<Full<Bytes>> {
    match (view.fault)() {
        None => body(StatusCode::OK, TEXT, "ok\n"),
        Some(fault) => body(StatusCode::SERVICE_UNAVAILABLE, TEXT, fault + "\n"),
    }
}

fn probe(snapshot: &Snapshot, passes: fn(&Snapshot) -> bool) -> Reply<'static> {
    let code = if passes(snapshot) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Reply::Ready(json(code, &Readiness::of(snapshot)))
}

async fn status(view: &View) -> Response<Full<Bytes>> {
    let look = (view.look)().await;
    let (app, handover) = ((view.app)(), (view.handover)());
    let about = (&view.about, &app);
    let status = Status::of(
        about,
        (&handover, &view.observation),
        &look,
        (view.events)(),
    );
    let mut response = json(StatusCode::OK, &status);
    guard(response.headers_mut());
    response
}

async fn page(view: &View) -> Response<Full<Bytes>> {
    let look = (view.look)().await;
    let page = page::page((&view.about, &(view.app)()), &look, &(view.events)());
    let mut response = body(StatusCode::OK, HTML, page);
    let headers = response.headers_mut();
    guard(headers);
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(page::POLICY),
    );
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// What a browser must not do with an answer that holds words of others: take it for something else, or keep it.
fn guard(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn json(code: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string(value) {
        Ok(text) => body(code, JSON, text + "\n"),
        Err(error) => body(
            StatusCode::INTERNAL_SERVER_ERROR,
            TEXT,
            format!("{error}\n"),
        ),
    }
}

fn body(code: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
