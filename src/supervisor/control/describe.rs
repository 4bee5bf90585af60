//! Everything that is known of one slot: `describe`.

use std::rc::Rc;

use crate::control::Answer;
use crate::control::protocol::{
    Command, Described, Ended, Handed, Listener, Place, Refusal, Worker,
};
use crate::model::shown::seconds;
use crate::model::{HandoverInfo, Look, Pid, QueueKind, QueueSample, SlotId};
use crate::supervisor::Supervisor;
use crate::supervisor::lives::{End, Lives};
use crate::sys::peer::Peer;

use super::{Desk, views, who::existing, written};

/// What `describe` needs beside what `list` reads.
#[derive(Debug)]
pub(super) struct Facts {
    /// The command line of every worker.
    argv: Vec<String>,
    handover: HandoverInfo,
    lives: Lives,
}

impl Facts {
    pub(super) fn new(supervisor: &Supervisor, handover: HandoverInfo) -> Self {
        let argv = supervisor.config.program.argv.iter();
        Self {
            argv: argv
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
            handover,
            lives: supervisor.lives.clone(),
        }
    }
}

impl Desk {
    /// The answer to `describe`.
    pub(super) fn describe(self: &Rc<Self>, slot: u16, peer: Peer) -> Answer {
        let desk = Rc::clone(self);
        Box::pin(async move {
            // Without figures, the rest is still right.
            let (look, _) = desk.gathering.look().await;
            let described = desk.facts.describe(&look, slot);
            let outcome = described.and_then(|described| written(&described));
            desk.told(&Command::Describe { slot }, peer, outcome.is_ok());
            outcome
        })
    }
}

impl Facts {
    fn describe(&self, look: &Look, slot: u16) -> Result<Described, Refusal> {
        let id = existing(&look.snapshot, slot)?;
        let all = views::workers(look).into_iter();
        let workers: Vec<Worker> = all.filter(|worker| worker.slot == slot).collect();
        let views = look.snapshot.slots.iter();
        let view = views.clone().find(|view| view.slot == id);
        // A new worker that takes over an empty slot is the one to tell of.
        let living = workers
            .iter()
            .filter(|worker| worker.place != Place::Leaving);
        let pid = living.filter_map(|worker| worker.pid).find_map(Pid::new);
        let ends = self.lives.ends(id).into_iter();
        Ok(Described {
            workers,
            streak: view.map_or(0, |view| view.streak),
            command: self.argv.clone(),
            environment: pid.map(|pid| self.lives.names(pid)).unwrap_or_default(),
            handover: Handed {
                handover: self.handover.handover.to_owned(),
                steering: self.handover.steering.to_owned(),
                reason: self.handover.reason.clone(),
            },
            listeners: look
                .queues
                .iter()
                .filter_map(|queue| listener(queue, id))
                .collect(),
            exits: ends.map(ended).collect(),
        })
    }
}

fn listener(queue: &QueueSample, slot: SlotId) -> Option<Listener> {
    queue.worker.filter(|of| *of == slot)?;
    let unit = match queue.kind {
        QueueKind::Connections => "connections",
        QueueKind::Datagrams { .. } => "bytes",
    };
    Some(Listener {
        address: queue.listener.clone(),
        unit: unit.to_owned(),
        queue: queue.length,
        limit: queue.limit,
        in_rotation: queue.in_rotation,
        taken: queue.held,
    })
}

fn ended((end, lines): (End, Vec<String>)) -> Ended {
    Ended {
        time: end.at,
        pid: end.pid.get(),
        exit: end.exit.to_string(),
        cause: end.cause.label().to_owned(),
        uptime_seconds: seconds(end.uptime),
        lines,
    }
}
