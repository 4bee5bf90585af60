//! `rpmctl env`.

use rpm_runtime::control::protocol::{Command, Env};

use super::args::Globals;
use super::connection::Connection;
use super::exit::Failure;
use super::print;
use super::table::{Side, draw};

pub fn run(globals: &Globals) -> Result<(), Failure> {
    let answer = Connection::open(globals)?.ask::<Env>(Command::Env)?;
    if globals.json {
        return print(&format!("{}\n", answer.raw));
    }
    let columns = [
        ("VARIABLE", Side::Left),
        ("VALUE", Side::Left),
        ("FROM", Side::Left),
    ];
    let rows: Vec<Vec<String>> = answer
        .value
        .variables
        .into_iter()
        .map(|variable| {
            let note = variable.note;
            let note = note.map_or_else(String::new, |note| format!(" ({note})"));
            vec![
                variable.name,
                variable.value,
                format!("{}{note}", variable.source),
            ]
        })
        .collect();
    print(&draw(&columns, &rows))
}
