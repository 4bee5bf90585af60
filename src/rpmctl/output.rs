//! Writes what a stream gives, as it comes.

use std::io::{self, BufWriter, Stdout, Write};

use rpm_runtime::control::protocol::Lost;
use serde::de::DeserializeOwned;

use super::eprint;
use super::exit::Failure;
use super::plain::Said;

/// Standard output, line by line. What is here already is written at once.
#[derive(Debug)]
pub struct Output(BufWriter<Stdout>);

impl Output {
    pub fn new() -> Self {
        Self(BufWriter::new(io::stdout()))
    }

    /// Writes a line; `more`: the next one follows now.
    pub fn line(&mut self, text: &str, more: bool) -> Result<(), Failure> {
        let line = format!("{text}\n");
        written(self.0.write_all(line.as_bytes()))?;
        if more { Ok(()) } else { self.end() }
    }

    /// Says at this place that so many `items` were lost.
    pub fn lost(&mut self, lost: u64, items: &str) -> Result<(), Failure> {
        self.end()?;
        eprint(&format!(
            "rpmctl: {lost} {items} are missing here, because they were not read in time\n"
        ));
        Ok(())
    }

    /// Writes what was not written yet.
    pub fn end(&mut self) -> Result<(), Failure> {
        written(self.0.flush())
    }
}

fn written(outcome: io::Result<()>) -> Result<(), Failure> {
    outcome.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::unread(),
        _ => Failure::failed(format!("cannot write to standard output: {error}")),
    })
}

/// What an item is; `Err`: so many are lost at its place. Its texts are plain, unless they are wanted `exactly`.
pub fn item<T: DeserializeOwned>(said: &Said, exactly: bool) -> Result<Result<T, u64>, Failure> {
    if let Ok(Lost { lost }) = said.read_exactly() {
        return Ok(Err(lost));
    }
    let item = if exactly {
        said.read_exactly()
    } else {
        said.read()
    };
    let item = item.map_err(|error| {
        let text = "cannot read an item of the runtime; use the rpmctl of the same release";
        Failure::failed(format!("{text}: {error}"))
    })?;
    Ok(Ok(item))
}
