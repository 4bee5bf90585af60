//! Events of a worker that do not come through its pipes, in the merged stream.

use std::collections::BTreeMap;

use super::format::Formatter;
use super::handle::WorkerLabel;
use super::line::{Block, Splitter};
use super::log4js::Event;
use super::own::OwnFormat;
use super::source::{Downstream, Pipeline};
use super::stamp::Stamper;
use super::{Format, LogSettings, Stream};
use crate::model::{SlotId, Timestamp};

/// Most bytes of events that wait for the log thread. The event that reaches the limit still finds room, whatever its
/// size. With a small RPM_LOG_BUFFER it is a quarter of that.
pub const WAITING: usize = 256 * 1024;

/// An event on its way to the log thread.
#[derive(Debug)]
pub struct Inserted {
    pub worker: WorkerLabel,
    /// Lines, each with its newline.
    pub text: Vec<u8>,
    /// How many bytes of own lines came before it.
    pub after: usize,
}

/// The lines of `event`: one JSON object, or log4js's basic layout.
pub fn text(form: &OwnFormat, event: &Event) -> Vec<u8> {
    let mut out = Vec::new();
    if form.format == Format::Json {
        let timestamp = match &form.timestamp {
            // The time is part of the event.
            Timestamp::None => &Timestamp::Rfc3339,
            given => given,
        };
        event.object(&mut out, &mut Stamper::new(timestamp));
    } else {
        event.line(&mut out);
    }
    out
}

/// What the log thread keeps for these events: for each slot, how lines of its present worker are labelled.
#[derive(Debug, Default)]
pub struct InsertedStreams(BTreeMap<SlotId, (WorkerLabel, Downstream)>);

impl InsertedStreams {
    /// Writes the event as one record. As all lines, it passes in pieces if it is above the limit.
    pub fn write(&mut self, event: &Inserted, settings: &LogSettings, pipeline: &mut Pipeline) {
        let Inserted { worker, text, .. } = event;
        let fresh = || {
            let LogSettings {
                format,
                app_name,
                colour,
                ..
            } = settings;
            let formatter = Formatter::new(*format, app_name, *colour, *worker, Stream::Events);
            (
                *worker,
                Downstream::new((*worker, Stream::Events), formatter),
            )
        };
        let known = self.0.entry(worker.slot).or_insert_with(fresh);
        if known.0 != *worker {
            *known = fresh();
        }
        let downstream = &mut known.1;
        let max = settings.max_line;
        if text.len() <= max.saturating_add(1) {
            let record = Block {
                joined: true,
                ..Block::whole(b"", text)
            };
            downstream.write(record, pipeline);
        } else {
            let mut splitter = Splitter::new(max);
            let split = splitter.feed(text, |block| downstream.write(block, pipeline));
            pipeline.split(split);
        }
    }
}
