//! Workers come and go, and are asked a last time.

use std::io::Read;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::{COUNTED, PATIENCE, Program, answer, gatherer, page, page_later, samples, worker};
use crate::app_metrics::merge::{ProcessKey, Rules};
use crate::app_metrics::{Gatherer, GathererSettings, ScrapeSource};
use crate::exposition::Page;
use crate::model::MetricsScope;

#[test]
fn what_an_ended_worker_counted_stays_and_its_successor_adds_to_it() {
    let one = Program::start();
    let gatherer = gatherer(&[&one], None);
    gatherer.set_workers(vec![worker(0, 1, 0)]);
    let scrape = page_later(&gatherer, PATIENCE);
    one.answer(COUNTED);
    scrape.join().unwrap();
    gatherer.worker_ended(ProcessKey(1));
    gatherer.set_workers(Vec::new());
    let (text, _) = page(&gatherer, MetricsScope::All, PATIENCE);
    assert_eq!(samples(&text), ["hits_total 10"]);
    gatherer.set_workers(vec![worker(0, 2, 0)]);
    let scrape = page_later(&gatherer, PATIENCE);
    one.answer("# TYPE hits_total counter\nhits_total 1\n");
    let (text, _) = scrape.join().unwrap();
    assert_eq!(samples(&text), ["hits_total 11"]);
}

#[test]
fn the_last_answer_of_a_worker_is_newer_than_the_wish_for_it() {
    let one = Program::start();
    let gatherer = gatherer(&[&one], None);
    gatherer.set_workers(vec![worker(0, 1, 0)]);
    let scrape = page_later(&gatherer, PATIENCE);
    let mut old = one.question();
    let (tell, over) = channel();
    gatherer.final_scrape(ProcessKey(1), PATIENCE, move || tell.send(()).unwrap());
    answer(&mut old, COUNTED);
    // The scrape's answer is not enough: there is another request.
    one.answer("# TYPE hits_total counter\nhits_total 11\n");
    over.recv_timeout(PATIENCE).unwrap();
    scrape.join().unwrap();
    gatherer.worker_ended(ProcessKey(1));
    let (text, _) = page(&gatherer, MetricsScope::All, PATIENCE);
    assert_eq!(samples(&text), ["hits_total 11"]);
}

#[test]
fn a_last_answer_that_does_not_come_is_not_waited_for() {
    let one = Program::start();
    let gatherer = gatherer(&[&one], None);
    gatherer.set_workers(vec![worker(0, 1, 0)]);
    let (tell, over) = channel();
    let again = tell.clone();
    gatherer.final_scrape(ProcessKey(1), Duration::from_millis(50), move || {
        tell.send("silent").unwrap();
    });
    assert_eq!(over.recv_timeout(PATIENCE), Ok("silent"));
    gatherer.final_scrape(ProcessKey(9), PATIENCE, move || {
        again.send("unknown").unwrap();
    });
    assert_eq!(over.recv_timeout(PATIENCE), Ok("unknown"));
}

#[test]
fn workers_are_asked_between_scrapes_while_there_are_any() {
    let one = Program::start();
    let gatherer = gatherer(&[&one], Some(Duration::from_millis(20)));
    gatherer.set_workers(vec![worker(0, 1, 0)]);
    // There is no scrape.
    one.answer(COUNTED);
    one.answer("# TYPE hits_total counter\nhits_total 12\n");
    let mut third = one.question();
    // It ends without another answer.
    gatherer.worker_ended(ProcessKey(1));
    answer(&mut third, "# TYPE hits_total counter\nhits_total 1000\n");
    let (text, _) = page(&gatherer, MetricsScope::All, PATIENCE);
    assert_eq!(samples(&text), ["hits_total 12"]);
}

#[test]
fn without_application_metrics_there_is_the_runtimes_page() {
    let gatherer = Gatherer::start(GathererSettings {
        source: ScrapeSource::Nothing,
        rules: Rules::default(),
        interval: None,
        late: false,
    })
    .unwrap();
    for scope in [MetricsScope::All, MetricsScope::Runtime] {
        let (text, totals) = page(&gatherer, scope, PATIENCE);
        assert_eq!((text.as_str(), totals), ("", None));
    }
}

#[test]
fn who_is_told_to_stop_is_shown_no_more_and_still_counts() {
    let (old, new) = (Program::start(), Program::start());
    let gatherer = gatherer(&[&old, &new], None);
    let (first, second) = (worker(0, 1, 0), worker(0, 2, 1));
    gatherer.set_workers(vec![first, second]);
    let scrape = page_later(&gatherer, PATIENCE);
    old.answer(COUNTED);
    new.answer("# TYPE hits_total counter\nhits_total 1\n# TYPE heat gauge\nheat 8\n");
    let (text, totals) = scrape.join().unwrap();
    // The younger worker represents the slot.
    assert_eq!(samples(&text), ["heat{worker=\"0\"} 8", "hits_total 11"]);
    assert_eq!(totals.unwrap().workers.len(), 1);
    gatherer.set_workers(vec![first]);
    let scrape = page_later(&gatherer, PATIENCE);
    old.answer(COUNTED);
    let (text, _) = scrape.join().unwrap();
    assert_eq!(samples(&text), ["hits_total 11"]);
    gatherer.set_workers(Vec::new());
    let (text, totals) = page(&gatherer, MetricsScope::All, PATIENCE);
    assert_eq!(samples(&text), ["hits_total 11"]);
    assert_eq!(totals.unwrap().workers, []);
}

#[test]
fn a_worker_that_is_asked_no_more_is_rid_of_its_question() {
    let one = Program::start();
    let gatherer = gatherer(&[&one], None);
    gatherer.set_workers(vec![worker(0, 1, 0)]);
    let scrape = page_later(&gatherer, PATIENCE);
    let mut question = one.question();
    gatherer.set_workers(Vec::new());
    // The scrape does not wait for its answer, and the connection ends, with or without a reset.
    let (text, _) = scrape.join().unwrap();
    assert_eq!(text, "");
    question.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(question.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn one_whose_queue_is_full_of_questions_is_not_asked_again() {
    let one = Program::start();
    // Nine connections always wait there.
    let gatherer = gatherer(&[&one], None);
    gatherer.set_workers(vec![worker(0, 1, 0)]);
    for _ in 0..12 {
        let (_, totals) = page(&gatherer, MetricsScope::All, Duration::from_millis(30));
        assert!(!totals.unwrap().workers[0].success);
    }
    // No other worker is asked, so the count is final once the ninth request has arrived.
    let _questions: Vec<TcpStream> = (0..9).map(|_| one.question()).collect();
    assert_eq!(one.asked.load(Ordering::SeqCst), 9);
}

#[test]
fn who_has_more_patience_than_the_one_before_asks_again() {
    let one = Program::start();
    let gatherer = gatherer(&[&one], None);
    gatherer.set_workers(vec![worker(0, 1, 0)]);
    let hasty = page_later(&gatherer, Duration::from_millis(200));
    let _unanswered = one.question();
    let patient = page_later(&gatherer, PATIENCE);
    hasty.join().unwrap();
    one.answer(COUNTED);
    let (text, _) = patient.join().unwrap();
    assert_eq!(samples(&text), ["heat{worker=\"0\"} 3", "hits_total 10"]);
}

#[test]
fn what_was_said_last_is_known_without_asking() {
    let one = Program::start();
    let gatherer = gatherer(&[&one], None);
    gatherer.set_workers(vec![worker(0, 1, 0)]);
    let families = |page: &Page| page.families.len();
    assert_eq!(families(&gatherer.known(Page::default())), 0);
    let scrape = page_later(&gatherer, PATIENCE);
    one.answer(COUNTED);
    scrape.join().unwrap();
    assert_eq!(families(&gatherer.known(Page::default())), 2);
}
