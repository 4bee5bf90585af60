//! Reads an ecosystem file of any kind.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::context;
use super::fault::{BadText, one_line, quote};
use super::node::{self, Trouble};
use super::value::Value;
use super::{json, yaml};

/// Most bytes of a file.
const MOST: u64 = 1 << 20;

/// Reads the file at this path, or standard input if it is `-`. An error says what is wrong and what to do.
pub fn read(path: &str) -> Result<Value, String> {
    if path == "-" {
        let text = text_of(io::stdin().lock(), "standard input")?;
        return from_input(&text).map_err(|bad| {
            format!("standard input: {bad}; it takes what node prints with JSON.stringify")
        });
    }
    let extension = Path::new(path).extension().and_then(|end| end.to_str());
    match extension {
        Some("js" | "cjs" | "mjs" | "ts" | "mts" | "cts") => {
            // An unreadable file is told as such, not as a fault of node.
            open(path)?;
            from_node(path)
        }
        Some("yml" | "yaml") => {
            let text = text_of(open(path)?, path)?;
            yaml::read(&text).map_err(|bad| format!("{}: {bad}", one_line(path)))
        }
        _ => {
            let text = text_of(open(path)?, path)?;
            json::read(&text).map_err(|bad| bad_json(path, &bad))
        }
    }
}

fn bad_json(path: &str, bad: &BadText) -> String {
    let shown = one_line(path);
    let extension = Path::new(path).extension();
    if extension.is_some_and(|end| end == "json") {
        format!("{shown}: {bad}; values that JavaScript computes need a file named .config.js")
    } else {
        format!(
            "{shown}: {bad}; it was read as JSON, because its name ends neither in .json, .yaml, .yml nor .js, .cjs, .mjs"
        )
    }
}

fn open(path: &str) -> Result<File, String> {
    let refused = |error: io::Error| format!("{} cannot be read: {error}", quote(path));
    let file = File::open(path).map_err(refused)?;
    if file.metadata().map_err(refused)?.is_dir() {
        return Err(format!(
            "{} is a directory; name the ecosystem file in it",
            quote(path)
        ));
    }
    Ok(file)
}

fn text_of(from: impl Read, name: &str) -> Result<String, String> {
    let name = one_line(name);
    let mut bytes = Vec::new();
    from.take(MOST + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{name} cannot be read: {error}"))?;
    if bytes.len() as u64 > MOST {
        return Err(format!(
            "{name} has more than 1 MiB, which no ecosystem file has"
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("{name} is not UTF-8 text from byte {at} on")
    })
}

/// JSON that node printed. What the file itself printed may stand on the lines before it.
fn from_input(text: &str) -> Result<Value, BadText> {
    json::read(text).or_else(|bad| {
        let last = text.trim_end().lines().next_back().unwrap_or_default();
        match json::read(last) {
            Ok(value @ (Value::Map(_) | Value::List(_))) => Ok(value),
            _ => Err(bad),
        }
    })
}

fn from_node(path: &str) -> Result<Value, String> {
    let shown = one_line(path);
    let absolute = std::path::absolute(path)
        .map_err(|error| format!("the working directory cannot be told: {error}"))?;
    let told = node::exports("node", &absolute, node::PATIENCE);
    let command = node::one_command(path);
    let json = told.map_err(|trouble| match trouble {
        Trouble::Missing => format!(
            "{shown} is JavaScript, and there is no node here. Where there is one, run:\n  {command} > apps.json\nand then: rpmctl from-pm2 apps.json (or pipe it into: rpmctl from-pm2 -)"
        ),
        Trouble::NotStarted(error) => format!("{shown} is JavaScript, and node cannot be started: {error}"),
        Trouble::Endless(patience) => format!(
            "{shown} did not end within {} s in node, and was ended. Does it wait for something? Print it with:\n  {command}",
            patience.as_secs()
        ),
        Trouble::TooMuch => format!("{shown} printed more than 4 MiB in node, and was ended"),
        Trouble::Failed(what) => format!("{shown} fails in node: {what}"),
    })?;
    json::read(&json).map_err(|bad| format!("{shown}: what node printed cannot be read: {bad}"))
}

/// What kind of file a script is, as pm2 judges it: machine code has bytes that no text has.
pub fn look(path: &str) -> context::File {
    let mut head = Vec::new();
    let Ok(file) = File::open(path) else {
        return context::File::Absent;
    };
    if file.metadata().is_ok_and(|facts| !facts.is_file())
        || file.take(1024).read_to_end(&mut head).is_err()
    {
        return context::File::Absent;
    }
    if head.contains(&0) {
        context::File::Binary
    } else {
        context::File::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_may_begin_with_what_the_file_printed() {
        let value = from_input("[dotenv@17] injecting env (2)\n{\"apps\": []}\n").unwrap();
        assert_eq!(value.json(), "{\"apps\":[]}");
        assert_eq!(
            from_input("{\n  \"a\": 1\n}\n").unwrap().json(),
            "{\"a\":1}"
        );
        assert_eq!(from_input("nothing\nhere").unwrap_err().place, Some((1, 2)));
    }

    #[test]
    fn scripts_are_judged_by_their_bytes() {
        assert_eq!(look("/proc/self/exe"), context::File::Binary);
        assert_eq!(
            look(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")),
            context::File::Text
        );
        assert_eq!(look("/nowhere"), context::File::Absent);
        assert_eq!(look("/"), context::File::Absent);
    }
}
