use std::convert::Infallible;
use std::future::poll_fn;
use std::task::Poll;

use super::*;
use crate::model::WorkerState;

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
fn for_a_reading_that_hangs_nobody_waits_twice_and_no_further_thread_is_started() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let snapshot = Arc::new(StdMutex::new(Snapshot::default()));
    let gathering = Gathering::new(&snapshot, &Reloads::default(), &Clock::start(), None);
    runtime.block_on(async {
        let hangs = Arc::clone(&gathering.means).lock_owned().await;
        // It began so long ago that no time is left.
        gathering.began.set(Instant::now().checked_sub(PATIENCE));
        assert_eq!(gathering.look().await.1, Err(Late));
        // One that began just now is waited for.
        gathering.began.set(Some(Instant::now()));
        let mut look = Box::pin(gathering.look());
        poll_fn(|context| {
            assert!(look.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(hangs);
        assert_eq!(look.await.1, Ok(()));
    });
}

fn sample(slot: u16, kind: QueueKind, length: u32, in_rotation: bool) -> QueueSample {
    QueueSample {
        listener: "[::]:3000".to_owned(),
        worker: Some(SlotId(slot)),
        kind,
        length,
        limit: 100,
        in_rotation,
        held: true,
    }
}

#[test]
fn the_queues_of_a_slot_are_added_up_and_datagrams_are_no_connections() {
    let datagrams = QueueKind::Datagrams { dropped: 0 };
    let queues = [
        sample(0, QueueKind::Connections, 3, true),
        sample(0, QueueKind::Connections, 4, false),
        sample(0, datagrams, 900, false),
        sample(1, datagrams, 900, false),
    ];
    let slots = of_slots(&queues);
    let of = |slot| slots.get(&SlotId(slot)).copied();
    let waiting = |waiting, in_rotation| {
        Some(Waiting {
            waiting,
            in_rotation,
        })
    };
    assert_eq!(of(0), waiting(Some(7), true));
    assert_eq!(of(1), waiting(None, false));
    assert_eq!(of(2), None);
}

fn view(slot: u16, pid: i32) -> WorkerView {
    WorkerView {
        pid: Pid::new(pid),
        started: Some(Tick(Duration::from_secs(1))),
        ..WorkerView::blank(slot, WorkerState::Ready)
    }
}

#[test]
fn every_worker_gets_the_figures_of_its_process_and_a_slot_those_of_its_connections() {
    let process = |cpu| Process {
        cpu: Duration::from_millis(cpu),
        resident: 4096,
    };
    let pid = |raw| Pid::new(raw).unwrap();
    let figures = Figures {
        at: Tick(Duration::from_secs(11)),
        processes: [(pid(70), process(2500)), (pid(71), process(0))].into(),
        connections: [(SlotId(0), 3)].into(),
    };
    let snapshot = Snapshot {
        slots: vec![view(0, 70), view(1, 99)],
        rising: vec![view(0, 71)],
        ..Snapshot::default()
    };
    let queues = [sample(0, QueueKind::Connections, 4, true)];
    let of = of_workers(&snapshot, &figures, &queues);
    let first = WorkerFigures {
        cpu: Some(Duration::from_millis(2500)),
        cpu_percent: Some(25.0),
        memory: Some(4096),
        connections: Some(3),
        queue: Some(4),
        in_rotation: Some(true),
    };
    let rising = WorkerFigures {
        cpu: Some(Duration::ZERO),
        cpu_percent: Some(0.0),
        memory: Some(4096),
        ..WorkerFigures::default()
    };
    assert_eq!(of, [first, WorkerFigures::default(), rising]);
}

#[test]
fn a_worker_that_just_began_divides_by_no_zero() {
    let share = percent(Duration::ZERO, Duration::ZERO);
    assert!(share.abs() < f64::EPSILON, "{share}");
}
