//! Answers of many items.

use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use super::*;
use crate::control::protocol::{Lost, Streamed};
use crate::control::stream::{Next, Page};

const ENV: &str = "{\"v\":1,\"command\":\"env\"}\n";
const REOPEN: &str = "{\"v\":1,\"command\":\"reopen\"}\n";

/// Numbers to `end`; or those that are made, a hundred with each look of any stream, of which the last 1000 are kept.
#[derive(Debug)]
struct Counting {
    made: Arc<AtomicU64>,
    next: u64,
    end: Option<u64>,
}

pub(super) fn counting(made: &Arc<AtomicU64>, end: Option<u64>) -> Box<dyn Items> {
    Box::new(Counting {
        made: Arc::clone(made),
        next: 0,
        end,
    })
}

impl Items for Counting {
    fn fill(&mut self, page: &mut Page) -> Next {
        let made = self.end.unwrap_or_else(|| self.made.load(Relaxed));
        if self.end.is_none() {
            let oldest = made.saturating_sub(1000).max(self.next);
            page.lost(oldest - self.next);
            self.next = oldest;
        }
        while page.has_room() && self.next < made {
            page.put(&self.next);
            self.next += 1;
        }
        match self.end {
            _ if self.next < made => Next::More,
            Some(_) => Next::End,
            None => Next::Wait,
        }
    }

    fn follows(&self) -> bool {
        self.end.is_none()
    }

    fn poll_more(&mut self, _: &mut Context<'_>) -> Poll<()> {
        self.made.fetch_add(100, Relaxed);
        Poll::Ready(())
    }
}

/// A client of a stream that has asked.
fn asks(path: &std::path::Path, request: &str) -> BufReader<Client> {
    let mut client = Client::connect(path).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    client.write_all(request.as_bytes()).unwrap();
    BufReader::new(client)
}

fn line(client: &mut BufReader<Client>) -> Reply {
    let mut text = String::new();
    client.read_line(&mut text).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

/// Reads items until the result. Returns the numbers, how many are missing by the lines that say so, and the result.
fn to_the_end(client: &mut BufReader<Client>) -> (Vec<u64>, u64, Streamed) {
    let (mut numbers, mut lost) = (Vec::new(), 0);
    loop {
        let reply = line(client);
        if let Some(result) = reply.result {
            return (numbers, lost, serde_json::from_str(result.get()).unwrap());
        }
        let item = reply.item.unwrap();
        let item: serde_json::Value = serde_json::from_str(item.get()).unwrap();
        match item.as_u64() {
            Some(number) => numbers.push(number),
            None => lost += item["lost"].as_u64().unwrap(),
        }
    }
}

#[test]
fn a_stream_gives_all_items_and_their_number_and_the_next_request_is_answered() {
    let ((numbers, lost, sent), next) = served(Limits::default(), ours(), |path| {
        let mut client = asks(path, &format!("{REOPEN}{LIST}"));
        let all = to_the_end(&mut client);
        (all, line(&mut client).result.unwrap().get().to_owned())
    })
    .0;
    assert_eq!(numbers, (0..4000).collect::<Vec<u64>>());
    assert_eq!((lost, sent.lost, sent.items), (0, 0, 4000));
    assert_eq!(next, "\"list\"");
}

#[test]
fn a_stream_that_follows_ends_with_the_next_request() {
    let limits = Limits {
        gather: Duration::ZERO,
        ..Limits::default()
    };
    let (numbers, sent) = served(limits, ours(), |path| {
        let mut client = asks(path, ENV);
        for number in 0..2000 {
            assert_eq!(line(&mut client).item.unwrap().get(), number.to_string());
        }
        client.get_mut().write_all(LIST.as_bytes()).unwrap();
        let (numbers, _, sent) = to_the_end(&mut client);
        assert_eq!(line(&mut client).result.unwrap().get(), "\"list\"");
        (numbers, sent)
    })
    .0;
    assert_eq!(sent.items, 2000 + numbers.len() as u64);
}

#[test]
fn who_takes_nothing_loses_items_that_are_counted_and_is_not_sent_away() {
    let limits = Limits {
        gather: Duration::ZERO,
        answer: Duration::from_millis(1),
        pause_of_pages: Duration::ZERO,
        ..Limits::default()
    };
    let (shown, lost, sent, numbers) = served(limits, ours(), |path| {
        let mut deaf = asks(path, ENV);
        let mut other = asks(path, ENV);
        // Far more than any buffer holds goes to the other one meanwhile.
        while !matches!(
            line(&mut other).item.unwrap().get().parse(),
            Ok(200_000_u64..)
        ) {}
        drop(other);
        let mut before = 0;
        let lost = loop {
            let item = line(&mut deaf).item.unwrap();
            match serde_json::from_str::<Lost>(item.get()) {
                Ok(lost) => break lost.lost,
                Err(_) => before += 1,
            }
        };
        deaf.get_mut().write_all(LIST.as_bytes()).unwrap();
        let (numbers, more, sent) = to_the_end(&mut deaf);
        // The kernel holds little for it, each number with its frame.
        let frame = "{\"v\":1,\"item\":12345}\n".len() as u64;
        assert!(before * frame < 100_000, "{before}");
        (before + numbers.len() as u64, lost + more, sent, numbers)
    })
    .0;
    assert_eq!((sent.items, sent.lost), (shown, lost));
    // What was lost and what was shown are all numbers to the last one.
    let end = numbers.last().map(|number| number + 1);
    assert_eq!(end, Some(shown + lost));
}

#[test]
fn a_stream_leaves_for_a_new_client() {
    let limits = Limits {
        clients: 2,
        root: 0,
        ..Limits::default()
    };
    let answer = served(limits, ours(), |path| {
        let (mut first, mut second) = (asks(path, ENV), asks(path, ENV));
        line(&mut first);
        line(&mut second);
        let answer = asked(path, LIST.as_bytes(), 1);
        let mut rest = Vec::new();
        first.read_to_end(&mut rest).unwrap();
        line(&mut second);
        answer
    })
    .0;
    assert_eq!(answer, ["{\"v\":1,\"result\":\"list\"}"]);
}

/// What all clients share, of a runtime that refuses every command.
fn hall(limits: Limits) -> Hall {
    Hall {
        service: Service {
            rule: Rule {
                uid: ours(),
                visible: false,
                ambiguous: false,
            },
            obey: Box::new(|_, _| panic!("no command is sent")),
            refused: Box::new(|_, _| {}),
            fault: Box::new(|_| {}),
            trouble: Box::new(|_| {}),
        },
        limits,
        guests: RefCell::default(),
        requests: Turns::new(limits.burst_of_all, limits.pause_of_all),
        pages: Turns::new(limits.burst_of_pages, limits.pause_of_pages),
        closing: Closing::default(),
    }
}

/// Runs `what` on a loop as that of the runtime.
fn on_a_loop<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, what)
}

/// Looks that find nothing, so many of them or without end.
#[derive(Debug)]
struct Nothing(Option<u32>);

impl Items for Nothing {
    fn fill(&mut self, page: &mut Page) -> Next {
        match &mut self.0 {
            Some(0) => {
                page.put(&"found");
                return Next::End;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        Next::More
    }

    fn follows(&self) -> bool {
        false
    }

    fn poll_more(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn looking_for_items_costs_no_turn_of_the_pages() {
    let hall = hall(Limits {
        burst_of_pages: 1,
        pause_of_pages: Duration::from_hours(1),
        ..Limits::default()
    });
    on_a_loop(async {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (mut buffer, mut over) = (Vec::new(), hall.closing.enter());
        let items = Box::new(Nothing(Some(5000)));
        let poured = pour::pour(&ours, &mut buffer, items, &hall, &mut over);
        let sent = timeout(LONG, poured).await.unwrap().unwrap().unwrap();
        assert_eq!(sent.get(), "{\"items\":1,\"lost\":0}");
    });
}

#[test]
fn looking_for_items_ends_when_the_client_is_gone() {
    let hall = hall(Limits::default());
    on_a_loop(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut buffer, mut over) = (Vec::new(), hall.closing.enter());
        let items = Box::new(Nothing(None));
        let poured = pour::pour(&ours, &mut buffer, items, &hall, &mut over);
        tokio::task::spawn_local(async move {
            for _ in 0..100 {
                yield_now().await;
            }
            drop(theirs);
        });
        let error = timeout(LONG, poured).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_stream_that_follows_ends_also_with_a_request_that_came_with_its_own() {
    let next = served(Limits::default(), ours(), |path| {
        let mut client = asks(path, &format!("{ENV}{LIST}"));
        to_the_end(&mut client);
        line(&mut client).result.unwrap().get().to_owned()
    })
    .0;
    assert_eq!(next, "\"list\"");
}

#[test]
fn a_reader_that_is_behind_gets_all_and_its_result_before_the_runtime_ends() {
    // Far more than the kernel holds, and than 200 pages.
    const MADE: u64 = 200_000;
    let mut hall = hall(Limits::default());
    hall.service.obey = Box::new(move |_, _| Obeyed::Many(Box::new(Behind(0, MADE))));
    let closing = hall.closing.clone();
    let hall = Rc::new(hall);
    let text = on_a_loop(async move {
        let (ours, mut theirs) = Client::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.write_all(ENV.as_bytes()).unwrap();
        let ours = UnixStream::from_std(ours).unwrap();
        let peer = Peer::of(&ours).unwrap();
        let id = hall.guests.borrow_mut().enter(peer);
        let guard = Guard(hall, id);
        let visit = tokio::task::spawn_local(async move { visit(&ours, peer, &guard).await });
        while closing.streams() == 0 {
            yield_now().await;
        }
        let (tell, told) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            theirs.read_to_string(&mut text).unwrap();
            tell.send(text)
        });
        closing.close_within(2 * LONG, LONG).await;
        // The runtime ends here.
        visit.abort();
        told.await.unwrap()
    });
    let last = text.lines().last().unwrap();
    let result = format!("{{\"v\":1,\"result\":{{\"items\":{MADE},\"lost\":0}}}}");
    assert_eq!(last, result);
}

/// A stream that follows: the next number, and where those that are there end.
#[derive(Debug)]
struct Behind(u64, u64);

impl Items for Behind {
    fn fill(&mut self, page: &mut Page) -> Next {
        while page.has_room() && self.0 < self.1 {
            page.put(&self.0);
            self.0 += 1;
        }
        if self.0 < self.1 {
            Next::More
        } else {
            Next::Wait
        }
    }

    fn follows(&self) -> bool {
        true
    }

    fn poll_more(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}
