//! Questions about another process that it may leave unanswered for ever: it fills a page of its memory itself
//! (userfaultfd(2)), or a file of its is in a file system of its own (FUSE).
//!
//! A thread that serves others too calls [`limit`] once. From then on its questions are asked by a helper, and one that is
//! not answered in time fails with ETIMEDOUT. The helper waits on, because nothing ends such a call but an answer or the
//! end of that process; the next question has a helper of its own.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use nix::errno::Errno;

use super::{clock, thread};

thread_local! {
    /// `None`: questions of this thread may take as long as they do.
    static ASKER: RefCell<Option<Asker>> = const { RefCell::new(None) };
}

type Job = Box<dyn FnOnce() + Send>;

struct Asker {
    patience: Duration,
    wake: Arc<dyn Fn() + Send + Sync>,
    helper: Option<Sender<Job>>,
    /// The question that was not answered.
    stuck: Option<Stuck>,
    /// How long the thread has waited for answers.
    waited: Duration,
}

/// A question that was not answered in time.
#[derive(Clone)]
pub struct Stuck(Arc<Progress>);

impl fmt::Debug for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stuck").field(&self.is_over()).finish()
    }
}

#[derive(Default)]
struct Progress {
    /// Nobody waits for the answer any more.
    abandoned: AtomicBool,
    over: AtomicBool,
}

impl Stuck {
    /// The call has returned, so it makes sense to ask again.
    pub fn is_over(&self) -> bool {
        self.0.over.load(Ordering::SeqCst)
    }
}

/// From now on, no question of the calling thread takes longer than `patience`. `wake` is called on another thread when
/// one that was not answered in time is over.
pub fn limit(patience: Duration, wake: impl Fn() + Send + Sync + 'static) {
    let asker = Asker {
        patience,
        wake: Arc::new(wake),
        helper: None,
        stuck: None,
        waited: Duration::ZERO,
    };
    ASKER.with_borrow_mut(|own| *own = Some(asker));
}

/// The question that was not answered since the last call of this function. All after it have failed at once.
pub fn take_stuck() -> Option<Stuck> {
    ASKER.with_borrow_mut(|own| own.as_mut()?.stuck.take())
}

/// How long the calling thread has waited for answers since the last call of this function.
pub fn take_waited() -> Duration {
    ASKER.with_borrow_mut(|own| {
        let asker = own.as_mut();
        asker.map_or(Duration::ZERO, |asker| std::mem::take(&mut asker.waited))
    })
}

/// Asks. Fails with ETIMEDOUT if the time that [`limit`] has set is over.
pub(super) fn ask<T: Send + 'static>(
    question: impl FnOnce() -> nix::Result<T> + Send + 'static,
) -> nix::Result<T> {
    ASKER.with_borrow_mut(|own| match own {
        None => question(),
        Some(asker) => asker.ask(question),
    })
}

/// Asks questions that may never be answered, such as one to a file system whose server is gone, for a caller that must go
/// on. At most one question is open.
pub struct Patient(Asker);

impl Default for Patient {
    fn default() -> Self {
        Self(Asker {
            patience: Duration::ZERO,
            wake: Arc::new(|| ()),
            helper: None,
            stuck: None,
            waited: Duration::ZERO,
        })
    }
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Patient").field(&self.0.stuck).finish()
    }
}

impl Patient {
    /// Asks on another thread. Fails with ETIMEDOUT if there is no answer in this time, and at once while an earlier
    /// question is still open; with EAGAIN if no thread can be started.
    pub fn ask<T: Send + 'static>(
        &mut self,
        patience: Duration,
        question: impl FnOnce() -> T + Send + 'static,
    ) -> nix::Result<T> {
        self.0.stuck.take_if(|stuck| stuck.is_over());
        self.0.patience = patience;
        let answer = self.0.ask(move || Ok(question()));
        // The next question is asked much later, if ever.
        self.0.helper = None;
        answer
    }
}

impl Asker {
    fn ask<T: Send + 'static>(
        &mut self,
        question: impl FnOnce() -> nix::Result<T> + Send + 'static,
    ) -> nix::Result<T> {
        if self.stuck.is_some() {
            return Err(Errno::ETIMEDOUT);
        }
        let progress = Arc::new(Progress::default());
        let (tell, told) = channel();
        let (wake, inner) = (Arc::clone(&self.wake), Arc::clone(&progress));
        self.send(Box::new(move || {
            // If nobody waits for the answer, it is asked again later.
            drop(tell.send(question()));
            inner.over.store(true, Ordering::SeqCst);
            if inner.abandoned.load(Ordering::SeqCst) {
                wake();
            }
        }))?;
        let begin = clock::instant();
        let answer = told.recv_timeout(self.patience);
        self.waited += begin.elapsed();
        match answer {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => {
                self.helper = None;
                Err(Errno::EIO)
            }
            Err(RecvTimeoutError::Timeout) => {
                progress.abandoned.store(true, Ordering::SeqCst);
                self.helper = None;
                if progress.over.load(Ordering::SeqCst) {
                    // It came just now, and perhaps nobody was woken for it.
                    return told.try_recv().unwrap_or(Err(Errno::EIO));
                }
                self.stuck = Some(Stuck(progress));
                Err(Errno::ETIMEDOUT)
            }
        }
    }

    /// Gives the helper a job, and starts one if there is none. Fails if no thread can be started: the caller must not
    /// ask by itself, because a worker that uses up all processes could then stop it.
    fn send(&mut self, job: Job) -> nix::Result<()> {
        let job = match &self.helper {
            Some(helper) => match helper.send(job) {
                Ok(()) => return Ok(()),
                Err(unsent) => unsent.0,
            },
            None => job,
        };
        let (helper, jobs) = channel();
        // The receiver is here still, so this cannot fail.
        drop(helper.send(job));
        thread::start("questions", thread::STACK, move || work(&jobs))?;
        self.helper = Some(helper);
        Ok(())
    }
}

fn work(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        job();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_question_without_an_answer_costs_its_time_and_the_next_is_answered() {
        let (woken, wakes) = channel();
        let tell = Mutex::new(woken);
        limit(SHORT, move || tell.lock().unwrap().send(()).unwrap());
        let (release, held) = channel::<()>();
        let hangs = move || {
            let _ = held.recv();
            Ok(1)
        };
        assert_eq!(ask(hangs), Err(Errno::ETIMEDOUT));
        assert!(take_waited() >= SHORT);
        assert_eq!(take_waited(), Duration::ZERO);
        // All that belongs to the same answer fails at once.
        assert_eq!(ask(|| Ok(2)), Err(Errno::ETIMEDOUT));
        let stuck = take_stuck().unwrap();
        assert!(!stuck.is_over());
        assert!(take_stuck().is_none());
        limit(LONG, || ());
        assert_eq!(ask(|| Ok(3)), Ok(3));
        assert!(wakes.try_recv().is_err());
        drop(release);
        assert_eq!(wakes.recv_timeout(LONG), Ok(()));
        assert!(stuck.is_over());
    }

    #[test]
    fn one_question_may_stay_open_and_the_next_is_asked_when_it_is_over() {
        let mut patient = Patient::default();
        assert_eq!(patient.ask(LONG, || 1), Ok(1));
        let (release, held) = channel::<()>();
        let hangs = move || {
            let _ = held.recv();
        };
        assert_eq!(patient.ask(SHORT, hangs), Err(Errno::ETIMEDOUT));
        assert_eq!(patient.ask(LONG, || 2), Err(Errno::ETIMEDOUT), "at once");
        let stuck = patient.0.stuck.clone().unwrap();
        drop(release);
        crate::sys::testing::until("it is over", || stuck.is_over());
        assert_eq!(patient.ask(LONG, || 3), Ok(3));
    }

    #[test]
    fn questions_are_asked_by_one_helper() {
        limit(LONG, || ());
        let helper = || ask(|| Ok(std::thread::current().id()));
        let first = helper().unwrap();
        assert_ne!(first, std::thread::current().id());
        assert_eq!(helper(), Ok(first));
    }

    #[test]
    fn a_thread_without_a_limit_asks_by_itself() {
        let own = std::thread::current().id();
        assert_eq!(
            ask(move || Ok(std::thread::current().id() == own)),
            Ok(true)
        );
        assert!(take_stuck().is_none());
    }

    #[test]
    fn a_helper_that_panics_is_an_error_and_is_replaced() {
        limit(LONG, || ());
        assert_eq!(ask::<()>(|| panic!("made up")), Err(Errno::EIO));
        assert_eq!(ask(|| Ok(4)), Ok(4));
    }
}
