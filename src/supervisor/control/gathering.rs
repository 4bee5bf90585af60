//! What `list` reads beside the published state: a file of /proc for each worker, and the connections from the kernel. It
//! takes milliseconds, so a thread reads it and not the loop, and all who ask at about the same time get the same answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::{Mutex, oneshot};
use tokio::time::timeout;
use tracing::debug;

use crate::control::protocol::{Kind, List, Refusal};
use crate::model::{SlotId, Snapshot, Tick};
use crate::ports::SharedPorts;
use crate::supervisor::connections::Connections;
use crate::sys::proc::Proc;
use crate::sys::thread::{STACK, start};

use super::{views, written};

/// An answer is given again for so long, unless the published state has changed.
const FRESH: Duration = Duration::from_millis(200);

/// The kernel has to answer in this time.
const PATIENCE: Duration = Duration::from_secs(5);

type Outcome = Result<Box<RawValue>, Refusal>;

/// One answer for all who ask.
#[derive(Debug)]
struct OneForAll<K, T>(Mutex<Option<(K, Tick, T)>>);

impl<K: PartialEq, T: Clone> OneForAll<K, T> {
    fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The last answer, if it is of this `key` and [`FRESH`], or else what `make` gives. Others wait meanwhile. What fails
    /// is not kept.
    async fn get<E>(
        &self,
        key: impl Fn() -> K,
        now: impl Fn() -> Tick,
        make: impl AsyncFnOnce(&K) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut last = self.0.lock().await;
        let key = key();
        if let Some((of, at, answer)) = &*last
            && *of == key
            && now().since(*at) < FRESH
        {
            return Ok(answer.clone());
        }
        let answer = make(&key).await?;
        *last = Some((key, now(), answer.clone()));
        Ok(answer)
    }
}

/// Reads for `list`.
#[derive(Debug)]
pub(super) struct Gathering {
    means: Arc<Means>,
    answer: OneForAll<Snapshot, Box<RawValue>>,
}

#[derive(Debug)]
struct Means {
    connections: Option<Connections>,
    ports: Option<SharedPorts>,
    proc: Proc,
}

impl Gathering {
    pub(super) fn new(ports: Option<SharedPorts>) -> Self {
        let means = Means {
            connections: ports.as_ref().map(Connections::on),
            ports,
            proc: Proc::new("/proc"),
        };
        Self {
            means: Arc::new(means),
            answer: OneForAll::new(),
        }
    }

    /// The answer to `list`. `frame` is the answer without workers; it and `snapshot` are of the loop.
    pub(super) async fn list(
        &self,
        snapshot: impl Fn() -> Snapshot,
        now: impl Fn() -> Tick,
        frame: impl FnOnce() -> List,
    ) -> Outcome {
        let make = async |seen: &Snapshot| {
            let question = Question {
                frame: frame(),
                seen: seen.clone(),
                at: now(),
            };
            self.read(question).await
        };
        self.answer.get(snapshot, &now, make).await
    }

    async fn read(&self, question: Question) -> Outcome {
        let late = || {
            let text = "the system does not answer; try again later";
            Err(Refusal::new(Kind::Refused, text))
        };
        // Only a thread that was not waited for any more still has them.
        if Arc::strong_count(&self.means) > 1 {
            return late();
        }
        let (tell, told) = oneshot::channel();
        let (means, asked) = (Arc::clone(&self.means), question.clone());
        let job = move || {
            let outcome = means.list(asked);
            // Before the answer: the next question may come at once.
            drop(means);
            // Nobody may wait any more.
            let _ = tell.send(outcome);
        };
        if start("rpmctl-list", STACK, job).is_err() {
            // No further thread is allowed here (RLIMIT_NPROC, pids.max), so the loop has to do it; this is seldom enough.
            return self.means.list(question);
        }
        match timeout(PATIENCE, told).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => late(),
        }
    }
}

/// What is to be read.
#[derive(Clone, Debug)]
struct Question {
    /// The answer without workers.
    frame: List,
    seen: Snapshot,
    at: Tick,
}

impl Means {
    fn list(&self, question: Question) -> Outcome {
        let Question {
            mut frame,
            seen,
            at,
        } = question;
        let connections = self.connections.as_ref();
        let connections: Option<BTreeMap<SlotId, u64>> =
            connections.and_then(|connections| connections.count(&seen));
        let queues = self.ports.as_ref().map(SharedPorts::queues);
        let queues = queues.unwrap_or_default();
        frame.workers = views::workers(&seen, at, &self.proc, connections.as_ref(), &queues);
        debug!("read the workers' processes and connections for rpmctl list");
        written(&frame)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;
    use crate::control::protocol::Version;
    use crate::supervisor::report::Reloads;

    #[test]
    fn one_answer_is_for_all_who_ask_at_the_same_time_until_it_is_old_or_something_has_changed() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (made, key, time) = (Cell::new(0), Cell::new('a'), Cell::new(Duration::ZERO));
        let one = OneForAll::new();
        let ask = async || {
            let answer = async |_: &char| {
                // The others come meanwhile.
                tokio::task::yield_now().await;
                made.set(made.get() + 1);
                Ok::<u32, Infallible>(made.get())
            };
            one.get(|| key.get(), || Tick(time.get()), answer)
                .await
                .unwrap()
        };
        runtime.block_on(async {
            let mut all: Vec<_> = (0..50).map(|_| Box::pin(ask())).collect();
            poll_fn(|context| {
                all.retain_mut(|one| match one.as_mut().poll(context) {
                    Poll::Ready(answer) => {
                        assert_eq!(answer, 1);
                        false
                    }
                    Poll::Pending => true,
                });
                match all.len() {
                    0 => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            })
            .await;
            time.set(FRESH.saturating_sub(Duration::from_millis(1)));
            assert_eq!(ask().await, 1);
            key.set('b');
            assert_eq!(ask().await, 2, "the state has changed");
            time.set(time.get() + FRESH);
            assert_eq!(ask().await, 3, "it is old");
        });
    }

    #[test]
    fn what_fails_is_not_kept() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let one = OneForAll::new();
        let ask = async |outcome: Result<u8, u8>| {
            let answer = async |(): &()| outcome;
            one.get(|| (), Tick::default, answer).await
        };
        runtime.block_on(async {
            assert_eq!(ask(Err(1)).await, Err(1));
            assert_eq!(ask(Ok(2)).await, Ok(2));
            assert_eq!(ask(Err(3)).await, Ok(2));
        });
    }

    #[test]
    fn while_one_reading_hangs_no_further_thread_is_started() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let gathering = Gathering::new(None);
        let hangs = Arc::clone(&gathering.means);
        let frame = || List {
            runtime: Version {
                version: String::new(),
                revision: None,
                pid: 1,
                app: String::new(),
            },
            uptime_seconds: 0.0,
            health: views::health(&Snapshot::default(), &Reloads::default(), 0),
            workers: Vec::new(),
        };
        let ask = async || {
            gathering
                .list(Snapshot::default, Tick::default, frame)
                .await
        };
        runtime.block_on(async {
            assert_eq!(ask().await.unwrap_err().kind, Kind::Refused);
            drop(hangs);
            assert!(ask().await.unwrap().get().contains("\"workers\":[]"));
        });
    }
}
