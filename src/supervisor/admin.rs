//! Starts the admin endpoints with the data of the supervisor.

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use nix::errno::Errno;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::admin::{
    self, About, ConnectionLimits, MetricsPage, PendingLook, PendingPage, ScrapeRequest, View,
};
use crate::app_metrics::{AppTotals, Gatherer};
use crate::exposition::Page;
use crate::exposition::render;
use crate::metrics::{Metrics, Scrape};
use crate::model::{HandoverInfo, LogTotals, MetricsScope, NodeTotals, QueueSample, Snapshot};
use crate::node::Channels;
use crate::policy::heartbeat::{Heartbeat, Standing};
use crate::ports::SharedPorts;
use crate::sys::listener;

use super::Supervisor;
use super::boot::{BootError, refused};
use super::connections::Connections;
use super::gathering::Gathering;
use super::report::Events;

/// Clients that may wait for the loop. The kernel bounds it by net.core.somaxconn. For one that finds no room, the kernel
/// tries again after a second, and by then a probe has failed.
const BACKLOG: u32 = 4096;

/// How many events /status has.
const EVENTS: usize = 20;

/// Opens the admin address. `[::]` takes clients of IPv4 too, whatever the system's default is
/// (net.ipv6.bindv6only), and is `0.0.0.0` where there is no IPv6.
fn open(addr: SocketAddr) -> io::Result<TcpListener> {
    let opened = match listener::open(addr, false, BACKLOG, false) {
        Err(Errno::EAFNOSUPPORT)
            if addr == SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), addr.port()) =>
        {
            let addr = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), addr.port());
            listener::open(addr, false, BACKLOG, false)
        }
        opened => opened,
    };
    let listener = std::net::TcpListener::from(opened?);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

pub(super) fn serve(supervisor: &Supervisor, handover: HandoverInfo) -> Result<(), BootError> {
    let config = &supervisor.config;
    let Some(addr) = config.admin.addr else {
        return Ok(());
    };
    let listener = match open(addr) {
        Ok(listener) => listener,
        // In the role of tini, a second runtime beside the first one is common (a one-off command in a running
        // container).
        Err(error) if config.one_shot() => {
            warn!(%addr, %error, "no admin endpoints (RPM_ADMIN_ADDR)");
            return Ok(());
        }
        Err(error) => {
            return Err(refused(format!(
                "cannot open the admin address {addr} (RPM_ADMIN_ADDR): {error}; set another, or off"
            )));
        }
    };
    if let Ok(bound) = listener.local_addr() {
        info!(addr = %bound, "admin endpoints: /livez /readyz /startupz /status /metrics");
    }
    let queues = {
        let ports = supervisor
            .sharing
            .as_ref()
            .map(|sharing| sharing.ports.clone());
        move || ports.as_ref().map(SharedPorts::queues).unwrap_or_default()
    };
    let snapshot = {
        let gathering = Rc::clone(&supervisor.gathering);
        move || gathering.snapshot()
    };
    let page = {
        let gatherer = supervisor.app_metrics.gatherer.clone();
        let (metrics, log) = (Arc::clone(&supervisor.metrics), supervisor.log.clone());
        let snapshot = snapshot.clone();
        let channels = supervisor.node.as_ref().map(|node| node.channels().clone());
        let shared = supervisor.sharing.as_ref();
        let shared = shared.map(|sharing| Arc::new(Connections::on(&sharing.ports)));
        move |request: ScrapeRequest| -> PendingPage {
            let own = Own {
                metrics: Arc::clone(&metrics),
                snapshot: snapshot(),
                queues: queues(),
                shared: shared.clone(),
                log: log.totals(),
                node: channels.as_ref().map(Channels::counts),
            };
            Box::pin(make(gatherer.clone(), own, request))
        }
    };
    let view = View {
        about: About {
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("RPM_BUILD_REVISION"),
            pid: std::process::id(),
        },
        fault: {
            let server = supervisor.sharing.as_ref();
            let server = server.map(|sharing| sharing.server.clone());
            let (heartbeat, now) = (Cell::new(Heartbeat::default()), supervisor.clock.reader());
            Box::new(move || {
                let mut seen = heartbeat.get();
                let standing = seen.look(server.as_ref()?.beat(), now());
                heartbeat.set(seen);
                standing.map(told)
            })
        },
        snapshot: Box::new(snapshot),
        app: {
            let metrics = Arc::clone(&supervisor.metrics);
            Box::new(move || metrics.app())
        },
        handover: Box::new(move || handover.clone()),
        observation: supervisor.observation.info.clone(),
        look: looking(&supervisor.gathering),
        events: happening(supervisor.events.clone()),
        metrics: Box::new(page),
    };
    let files = supervisor
        .host
        .files
        .map_or(u64::MAX, |files| files.current);
    let limits = ConnectionLimits::within(files);
    tokio::task::spawn_local(admin::serve(listener, view, limits));
    Ok(())
}

/// What is shown of the workers. Without figures of them, the rest is still right.
fn looking(gathering: &Rc<Gathering>) -> Box<dyn Fn() -> PendingLook> {
    let gathering = Rc::clone(gathering);
    Box::new(move || {
        let gathering = Rc::clone(&gathering);
        Box::pin(async move { gathering.look().await.0 })
    })
}

/// What happened last.
fn happening(events: Events) -> Box<dyn Fn() -> Vec<Value>> {
    Box::new(move || {
        let recent = events.recent(EVENTS).into_iter();
        recent
            .filter_map(|event| serde_json::to_value(event).ok())
            .collect()
    })
}

/// What /livez says of the thread that answers the workers' calls.
fn told(standing: Standing) -> String {
    let what = "the thread that answers the workers' bind calls";
    match standing {
        Standing::Ended => format!("{what} has ended"),
        Standing::Stuck(time) => format!("{what} has not moved for {} s", time.as_secs()),
    }
}

/// The inputs of the runtime's own page.
#[derive(Clone)]
struct Own {
    metrics: Arc<Metrics>,
    snapshot: Snapshot,
    queues: Vec<QueueSample>,
    shared: Option<Arc<Connections>>,
    log: LogTotals,
    node: Option<NodeTotals>,
}

impl Own {
    fn page(self, app: Option<AppTotals>) -> Page {
        let shared = self.shared.as_deref();
        let connections = shared.and_then(|shared| shared.count(&self.snapshot));
        self.metrics.page(&Scrape {
            connections: connections.unwrap_or_default(),
            balance: shared.and_then(Connections::balance),
            snapshot: &self.snapshot,
            queues: self.queues,
            log: self.log,
            node: self.node,
            app,
        })
    }
}

async fn make(gatherer: Option<Gatherer>, own: Own, request: ScrapeRequest) -> MetricsPage {
    let scope = request.scope;
    let headers = (request.accept.clone(), request.accept_encoding.clone());
    let spare = own.clone();
    let asked = async {
        let page = |app| own.page(app);
        let gatherer = gatherer.as_ref()?;
        gatherer.page(scope, page, headers, request.within).await
    };
    // The rest of the margin is for the network.
    let answer = timeout(request.within + request.margin * 3 / 4, asked).await;
    let answer = answer.unwrap_or_default().unwrap_or_else(|| {
        // The thread has too much to read, or has ended.
        let (accept, encoding) = (
            request.accept.as_deref(),
            request.accept_encoding.as_deref(),
        );
        let own = spare.page(None);
        let page = match &gatherer {
            Some(gatherer) if scope == MetricsScope::All => gatherer.known(own),
            _ => own,
        };
        render::answer(&page, accept, encoding)
    });
    MetricsPage {
        content_type: answer.format.content_type(),
        gzip: answer.gzip,
        body: answer.body,
    }
}
