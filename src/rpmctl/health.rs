//! `rpmctl health`.

use rpm_runtime::control::protocol::{Command, Health};

use super::args::Globals;
use super::connection::Connection;
use super::exit::Failure;
use super::print;
use super::words::state;

pub fn run(globals: &Globals) -> Result<(), Failure> {
    let answer = Connection::open(globals)?.ask::<Health>(Command::Health)?;
    let health = answer.value;
    if globals.json {
        print(&format!("{}\n", answer.raw))?;
    } else {
        let ready = if health.ready { "ready" } else { "not ready" };
        print(&format!("{ready}: {}\n", state(&health)))?;
    }
    // It was said on standard output already.
    if health.ready {
        Ok(())
    } else {
        Err(Failure::quiet())
    }
}
