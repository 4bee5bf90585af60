//! `rpmctl version`.

use std::fmt::Write as _;

use rpm_runtime::control::protocol::{Command, Version};

use super::args::Globals;
use super::connection::Connection;
use super::exit::Failure;
use super::print;
use super::words::plain;

pub fn run(globals: &Globals) -> Result<(), Failure> {
    let own = env!("CARGO_PKG_VERSION");
    let runtime = match Connection::open(globals) {
        Ok(mut connection) => Some(connection.ask::<Version>(Command::Version)?),
        // rpmctl has a version without a runtime too.
        Err(failure) if failure.may_pass() && !globals.chooses() => None,
        Err(failure) => return Err(failure),
    };
    if globals.json {
        let runtime = runtime.as_ref().map_or("null", |answer| answer.raw.get());
        return print(&format!("{{\"rpmctl\":\"{own}\",\"runtime\":{runtime}}}\n"));
    }
    let mut text = format!("rpmctl {own}\n");
    if let Some(answer) = runtime {
        let Version {
            version,
            revision,
            pid,
            app,
        } = answer.value;
        let revision = revision.map_or_else(String::new, |revision| format!(" ({revision})"));
        let app = plain(&app);
        // a String takes everything
        let _ = writeln!(text, "rpm-runtime {version}{revision}, pid {pid}, of {app}");
    }
    print(&text)
}
