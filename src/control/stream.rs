//! Answers of many items: what a stream is made of. Nothing is kept for one client: its items are read from where everybody's
//! are kept, as fast as it takes them. What is overwritten before it came there is lost to it, and counted.

use std::task::{Context, Poll};

use serde::Serialize;

use super::protocol::{Lost, Streamed, VERSION};

/// How each line begins.
const HEAD: &[u8] = b"{\"v\":1,\"item\":";
const _: () = assert!(VERSION == 1);

/// What follows after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more at once.
    More,
    /// There will be more later.
    Wait,
    /// That was all.
    End,
}

/// The items of one stream.
pub trait Items {
    /// Puts the next items on `page` while it has room. It takes a bounded time: it may stop before the page is full and say
    /// [`Next::More`].
    fn fill(&mut self, page: &mut Page) -> Next;

    /// Whether it goes on with what comes later, until the client ends it.
    fn follows(&self) -> bool;

    /// Ready if there may be more after [`Next::Wait`].
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// Items that are sent together, as lines of the protocol.
#[derive(Debug)]
pub struct Page {
    lines: Vec<u8>,
    /// It is full with so many bytes. The last item may go beyond.
    most: usize,
    sent: Streamed,
}

impl Page {
    /// An empty page.
    pub fn new(most: usize) -> Self {
        Self {
            lines: Vec::new(),
            most,
            sent: Streamed::default(),
        }
    }

    /// Whether another item may be put on it.
    pub fn has_room(&self) -> bool {
        self.lines.len() < self.most
    }

    /// Puts an item on it.
    pub fn put(&mut self, item: &impl Serialize) {
        self.line(item);
        self.sent.items += 1;
    }

    /// So many items were lost here.
    pub fn lost(&mut self, lost: u64) {
        if lost > 0 {
            self.line(&Lost { lost });
            self.sent.lost += lost;
        }
    }

    fn line(&mut self, item: &impl Serialize) {
        self.lines.extend_from_slice(HEAD);
        // Nothing in an item can fail to be written into memory.
        let _ = serde_json::to_writer(&mut self.lines, item);
        self.lines.extend_from_slice(b"}\n");
    }

    /// The lines.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// Makes place for the next items. A page on which one item was very long gives the memory back.
    pub(super) fn turn(&mut self) {
        self.lines.clear();
        self.lines.shrink_to(self.most);
    }

    /// What was put on it since its begin.
    pub fn sent(&self) -> Streamed {
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_a_line_and_what_is_lost_is_one_too() {
        let mut page = Page::new(40);
        assert!(page.has_room());
        page.put(&"one\n");
        page.lost(0);
        page.lost(7);
        assert!(!page.has_room());
        let expected = "{\"v\":1,\"item\":\"one\\n\"}\n{\"v\":1,\"item\":{\"lost\":7}}\n";
        assert_eq!(String::from_utf8_lossy(page.lines()), expected);
        page.put(&"x".repeat(1000));
        page.turn();
        assert!(page.has_room());
        assert!(page.lines.capacity() < 1000);
        assert_eq!(page.sent(), Streamed { items: 2, lost: 7 });
    }
}
