//! `rpmctl version`.

use std::fmt::Write as _;

use rpm_runtime::control::protocol::{Command, Version};

use super::args::Globals;
use super::connection::Connection;
use super::exit::Failure;
use super::words::plain;
use super::{eprint, print};

pub fn run(globals: &Globals) -> Result<(), Failure> {
    let own = env!("CARGO_PKG_VERSION");
    // rpmctl has a version without a runtime too.
    let passes = |failure: &Failure| failure.may_pass() && !globals.chooses();
    let runtime = match Connection::open(globals) {
        Ok(mut connection) => match connection.ask::<Version>(Command::Version) {
            Err(failure) if passes(&failure) => {
                eprint(&format!("rpmctl: {}\n", failure.why()));
                None
            }
            answer => Some(answer?),
        },
        Err(failure) if passes(&failure) => None,
        Err(failure) => return Err(failure),
    };
    if globals.json {
        let runtime = runtime.map_or_else(|| "null".to_owned(), |answer| answer.raw.to_string());
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
