//! Log lines whose number others decide: a worker that does something ten thousand times a second must not fill the log.

use std::time::Duration;

use crate::model::Tick;

/// After this time the lines of a thing are counted anew.
const WINDOW: Duration = Duration::from_mins(1);

/// Most things that are remembered; the oldest is forgotten for a new one.
const THINGS: usize = 128;

#[derive(Debug)]
struct Thing<K> {
    key: K,
    since: Tick,
    written: u32,
    left_out: u64,
}

/// Decides which lines are written. `K` says what a line is about.
#[derive(Debug)]
pub struct Seldom<K>(Vec<Thing<K>>);

impl<K> Default for Seldom<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq> Seldom<K> {
    /// Whether a line about `key` is written now: the first `most` of each [`WINDOW`] are. If so, returns how many were
    /// left out since the last one.
    pub fn write(&mut self, key: K, most: u32, now: Tick) -> Option<u64> {
        let Some(thing) = self.0.iter_mut().find(|thing| thing.key == key) else {
            if self.0.len() >= THINGS {
                self.0.remove(0);
            }
            self.0.push(Thing {
                key,
                since: now,
                written: 1,
                left_out: 0,
            });
            return Some(0);
        };
        if now.since(thing.since) >= WINDOW {
            thing.since = now;
            thing.written = 0;
        }
        if thing.written >= most {
            thing.left_out = thing.left_out.saturating_add(1);
            return None;
        }
        thing.written += 1;
        Some(std::mem::take(&mut thing.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick(Duration::from_secs(seconds))
    }

    #[test]
    fn five_lines_a_minute_are_written_and_the_rest_is_counted() {
        let mut seldom = Seldom::default();
        for _ in 0..5 {
            assert_eq!(seldom.write("a", 5, at(1)), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(seldom.write("a", 5, at(2)), None);
        }
        assert_eq!(seldom.write("b", 5, at(2)), Some(0), "of another thing");
        assert_eq!(seldom.write("a", 5, at(61)), Some(1000));
        assert_eq!(seldom.write("a", 5, at(61)), Some(0));
    }

    #[test]
    fn memory_is_bounded() {
        let mut seldom = Seldom::default();
        for key in 0..10_000 {
            assert_eq!(seldom.write(key, 1, at(0)), Some(0));
        }
        assert_eq!(seldom.0.len(), THINGS);
    }
}
