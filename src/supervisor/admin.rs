//! Opens the admin endpoints on what the supervisor knows.
#![forbid(unsafe_code)]

use std::sync::{Arc, PoisonError};

use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::control::{self, About, MetricsPage, View, Wishes};
use crate::metrics::{Scrape, expose};
use crate::model::HandoverInfo;
use crate::port::SharedPorts;

use super::Supervisor;
use super::boot::{BootError, refused};

pub(super) async fn serve(
    supervisor: &Supervisor,
    handover: HandoverInfo,
) -> Result<(), BootError> {
    let config = &supervisor.config;
    let Some(addr) = config.admin_addr else {
        return Ok(());
    };
    let listener = match TcpListener::bind(addr).await {
        Ok(listener) => listener,
        // In tini's role a second runtime beside the first is common (a one-off command in a running container).
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
        let snapshot = Arc::clone(&supervisor.snapshot);
        move || {
            snapshot
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        }
    };
    let page = {
        let (metrics, log) = (Arc::clone(&supervisor.metrics), supervisor.log.clone());
        let (queues, snapshot) = (queues.clone(), snapshot.clone());
        move |wishes: &Wishes| {
            let page = metrics.page(&Scrape {
                snapshot: &snapshot(),
                queues: queues(),
                log: log.totals(),
            });
            let (accept, encoding) = (&wishes.accept, &wishes.accept_encoding);
            let answer = expose::answer(&page, accept.as_deref(), encoding.as_deref());
            MetricsPage {
                content_type: answer.format.content_type(),
                gzip: answer.gzip,
                body: answer.body,
            }
        }
    };
    let view = View {
        about: About {
            app: config.app_name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("RPM_BUILD_REVISION"),
            pid: std::process::id(),
        },
        now: Box::new(supervisor.clock.reader()),
        snapshot: Box::new(snapshot),
        handover: Box::new(move || handover.clone()),
        queues: Box::new(queues),
        metrics: Box::new(page),
    };
    tokio::task::spawn_local(control::serve(listener, view, control::Limits::default()));
    Ok(())
}
