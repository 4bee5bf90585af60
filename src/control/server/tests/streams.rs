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
