//! Which path is answered with what.
#![forbid(unsafe_code)]

use std::fmt;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
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
    /// The metrics page.
    pub metrics: Box<dyn Fn() -> String>,
    /// Content-Type of that page.
    pub metrics_type: &'static str,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// The answer to a request. The body of an answer to HEAD is left out on the way to the socket, its length is not.
pub(super) fn answer(view: &View, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let page: fn(&View) -> Response<Full<Bytes>> = match path {
        "/" => |_| body(StatusCode::OK, HTML, LINKS),
        "/livez" => |_| body(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => |view| probe(&(view.snapshot)(), |snapshot| snapshot.ready),
        "/startupz" => |view| probe(&(view.snapshot)(), |snapshot| snapshot.started),
        "/status" => status,
        "/metrics" | "/metrics/runtime" => {
            |view| body(StatusCode::OK, view.metrics_type, (view.metrics)())
        }
        _ => return body(StatusCode::NOT_FOUND, TEXT, "no such page; / lists them\n"),
    };
    if *method == Method::GET || *method == Method::HEAD {
        return page(view);
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
