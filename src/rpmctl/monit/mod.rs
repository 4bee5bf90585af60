//! `rpmctl monit`: a live screen.
//!
//! `model` is the state, and what keys and answers change in it; `view` draws it on cells; `screen` turns cells into bytes.
//! These three are pure. `driver` connects them with the terminal (`terminal`, `writer`, `keys`) and the runtime (`asker`, `tail`).

mod asker;
mod driver;
#[cfg(test)]
mod fixtures;
mod keys;
mod model;
mod screen;
mod tail;
mod terminal;
mod view;
mod wake;
mod writer;

use rpm_runtime::control::protocol::{Command, List};

use super::args::Globals;
use super::connection::Connection;
use super::exit::Failure;
use driver::Driver;
use terminal::{Terminal, Words};

pub fn run(globals: &Globals) -> Result<(), Failure> {
    if globals.json {
        return Err(Failure::unclear(
            "monit is a screen; `rpmctl list --json` has the figures",
        ));
    }
    let words = Words::read();
    let terminal = Terminal::find(&words)?;
    // Before the screen is taken, so that the reason stays to be read if there is no runtime.
    let mut connection = Connection::open(globals)?;
    let first = connection.ask::<List>(Command::List)?.value;
    Driver::new(terminal, words.look(), connection, globals.clone(), first)?.run()
}
