//! Which path is answered with what.
#![forbid(unsafe_code)]

use std::fmt;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, VARY,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Serialize;

use crate::model::{HandoverInfo, QueueSample, Snapshot, Tick};

use super::status::{About, Readiness, Status};

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

const LINKS: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <title>rpm-runtime</title></head><body><h1>rpm-runtime</h1><ul>\n\
    <li><a href=\"/status\">/status</a></li>\n\
    <li><a href=\"/metrics\">/metrics</a></li>\n\
    <li><a href=\"/metrics/runtime\">/metrics/runtime</a></li>\n\
    <li><a href=\"/livez\">/livez</a></li>\n\
    <li><a href=\"/readyz\">/readyz</a></li>\n\
    <li><a href=\"/startupz\">/startupz</a></li>\n\
    </ul></body></html>\n";

/// All that the endpoints can see. Each closure is called once for a request that needs it, never kept waiting.
pub struct View {
    /// What does not change.
    pub about: About,
    /// The moment, on the clock of the snapshot.
    pub now: Box<dyn Fn() -> Tick>,
    /// The fleet.
    pub snapshot: Box<dyn Fn() -> Snapshot>,
    /// How the workers get the shared port.
    pub handover: Box<dyn Fn() -> HandoverInfo>,
    /// Every listener's queue.
    pub queues: Box<dyn Fn() -> Vec<QueueSample>>,
    /// The metrics page, in the form that the client wishes for.
    pub metrics: Box<dyn Fn(&Wishes) -> MetricsPage>,
}

/// What a client said of the forms it takes: these headers, several of a name joined; `None` if it sent none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `Accept`.
    pub accept: Option<String>,
    /// `Accept-Encoding`.
    pub accept_encoding: Option<String>,
}

/// A metrics page in one of those forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsPage {
    /// Its Content-Type.
    pub content_type: &'static str,
    /// Whether it is packed.
    pub gzip: bool,
    /// It.
    pub body: Vec<u8>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// The answer to a request. The body of an answer to HEAD is left out on the way to the socket, its length is not.
pub(super) fn answer<B>(view: &View, request: &Request<B>) -> Response<Full<Bytes>> {
    let method = request.method();
    let page: fn(&View, &HeaderMap) -> Response<Full<Bytes>> = match request.uri().path() {
        "/" => |_, _| body(StatusCode::OK, HTML, LINKS),
        "/livez" => |_, _| body(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => |view, _| probe(&(view.snapshot)(), |snapshot| snapshot.ready),
        "/startupz" => |view, _| probe(&(view.snapshot)(), |snapshot| snapshot.started),
        "/status" => |view, _| status(view),
        "/metrics" | "/metrics/runtime" => metrics,
        _ => return body(StatusCode::NOT_FOUND, TEXT, "no such page; / lists them\n"),
    };
    if *method == Method::GET || *method == Method::HEAD {
        return page(view, request.headers());
    }
    let mut refusal = body(
        StatusCode::METHOD_NOT_ALLOWED,
        TEXT,
        "read-only: GET or HEAD\n",
    );
    refusal
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    refusal
}

fn probe(snapshot: &Snapshot, passes: fn(&Snapshot) -> bool) -> Response<Full<Bytes>> {
    let code = if passes(snapshot) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    json(code, &Readiness::of(snapshot))
}

fn metrics(view: &View, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let wishes = Wishes {
        accept: joined(headers, &ACCEPT),
        accept_encoding: joined(headers, &ACCEPT_ENCODING),
    };
    let page = (view.metrics)(&wishes);
    let mut response = body(StatusCode::OK, page.content_type, page.body);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if page.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// All of that name as the list that they are together; what is no text is left out.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let found = headers.get_all(name).iter();
    let texts: Vec<&str> = found.filter_map(|value| value.to_str().ok()).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn status(view: &View) -> Response<Full<Bytes>> {
    let (snapshot, now) = ((view.snapshot)(), (view.now)());
    let (handover, queues) = ((view.handover)(), (view.queues)());
    json(
        StatusCode::OK,
        &Status::of(&view.about, &snapshot, &handover, &queues, now),
    )
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
