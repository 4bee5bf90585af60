//! Asks node for what an ecosystem file in JavaScript exports. It has a limited time, and may write a limited text.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use super::fault::one_line;

/// How long a file may take.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Most bytes that node may write, with what the file itself prints.
const MOST: u64 = 4 << 20;

/// What stands before the JSON, since the file may print too.
const MARK: &str = "\u{1}rpmctl-from-pm2\u{1}";

/// Prints what the file exports, by `require` and, where that refuses, by `import`. What is printed may be more than the pipe
/// takes at once, so node ends behind the last byte. Regular expressions are shown as they are written.
const PROGRAM: &str = r"
const [file, mark] = process.argv.slice(1);
const plain = (key, value) => value instanceof RegExp ? String(value) : value;
const print = (value) => {
  const text = JSON.stringify(value, plain);
  process.stdout.write('\n' + mark + (text === undefined ? 'null' : text) + '\n', () => process.exit(0));
};
const fail = (error) => {
  const text = error && error.stack ? error.stack : String(error);
  process.stderr.write(text + '\n', () => process.exit(1));
};
const load = async () => {
  try {
    return require(file);
  } catch (error) {
    const module = ['ERR_REQUIRE_ESM', 'ERR_REQUIRE_ASYNC_MODULE'].includes(error && error.code)
      || (error instanceof SyntaxError && /import|export/.test(error.message));
    if (!module) throw error;
    return import(require('url').pathToFileURL(file).href);
  }
};
load().then((loaded) => print(loaded && loaded.default !== undefined ? loaded.default : loaded)).catch(fail);
";

/// Why node did not tell.
#[derive(Debug)]
pub enum Trouble {
    /// There is no node.
    Missing,
    /// It could not be started.
    NotStarted(io::Error),
    /// It did not end.
    Endless(Duration),
    /// It wrote too much.
    TooMuch,
    /// The file failed: what node said, its most telling line first.
    Failed(String),
}

/// Returns the JSON of what the file exports. `node`: the program to ask.
pub fn exports(node: &str, file: &Path, patience: Duration) -> Result<String, Trouble> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is not the runtime: it has no workers, and no masks or descriptors to leak"
    )]
    let mut command = Command::new(node);
    command
        .arg("-e")
        .arg(PROGRAM)
        .arg(file)
        .arg(MARK)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Trouble::Missing),
        Err(error) => return Err(Trouble::NotStarted(error)),
    };
    let told = listen(&mut child, patience);
    end(child);
    told
}

/// Reads both streams to their end.
fn listen(child: &mut Child, patience: Duration) -> Result<String, Trouble> {
    let out = child.stdout.take().map(reader);
    let err = child.stderr.take().map(reader);
    let wait = |from: Option<Receiver<Vec<u8>>>| match from {
        Some(from) => from
            .recv_timeout(patience)
            .map_err(|_| Trouble::Endless(patience)),
        None => Ok(Vec::new()),
    };
    let out = wait(out)?;
    if out.len() as u64 > MOST {
        return Err(Trouble::TooMuch);
    }
    let out = String::from_utf8_lossy(&out);
    if let Some((_, behind)) = out.rsplit_once(MARK) {
        return Ok(behind.trim_end().to_owned());
    }
    let err = wait(err)?;
    Err(Trouble::Failed(telling(&String::from_utf8_lossy(&err))))
}

/// A thread that reads one stream, at most one byte more than is allowed.
fn reader(stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is what there is.
        let _ = stream.take(MOST + 1).read_to_end(&mut bytes);
        // Nobody waits any more after the time is over.
        let _ = send.send(bytes);
    });
    receive
}

/// Ends node, whatever it still does: all that it had to tell is read.
fn end(mut child: Child) {
    // It may have ended by itself.
    let _ = child.kill();
    #[expect(
        clippy::disallowed_methods,
        reason = "this is not the runtime: nobody else waits for this process"
    )]
    let _ = child.wait(); // it is killed, so there is nothing to learn
}

/// The line of a stack trace that says what is wrong, with the line of the file that node shows first.
fn telling(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let error = lines
        .iter()
        .find(|line| {
            line.split(':')
                .next()
                .is_some_and(|word| word.ends_with("Error"))
        })
        .or_else(|| lines.iter().find(|line| line.contains("Error")))
        .or(lines.first());
    let place = lines.iter().find_map(|line| place(line));
    let error = error.map_or("it says nothing", |line| line);
    match place {
        Some(place) => format!("{}: {}", one_line(&place), one_line(error)),
        None => one_line(error),
    }
}

/// `FILE:LINE` or `FILE:LINE:COLUMN` of a line such as `at Object.<anonymous> (FILE:LINE:COLUMN)`, but not of node itself.
fn place(line: &str) -> Option<String> {
    let inner = line
        .rsplit_once('(')
        .map_or(line, |(_, inner)| inner.trim_end_matches(')'));
    let inner = inner
        .trim_start_matches("at ")
        .trim_start_matches("file://");
    let (_, number) = inner.rsplit_once(':')?;
    let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let of_file = inner.starts_with('/') && !inner.contains(' ');
    (numbered && of_file).then(|| inner.to_owned())
}

/// The command that prints what a file exports as JSON, for a machine that has node.
pub fn one_command(path: &str) -> String {
    let path = if path.starts_with(['/', '.']) {
        path.to_owned()
    } else {
        format!("./{path}")
    };
    let literal = serde_json::Value::from(path.as_str()).to_string();
    let literal = literal.replace('\'', "'\\''");
    let extension = Path::new(&path).extension();
    if extension.is_some_and(|end| end == "mjs") {
        format!(
            "node --input-type=module -e 'import c from {literal}; console.log(JSON.stringify(c))'"
        )
    } else {
        format!("node -p 'JSON.stringify(require({literal}))'")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// Files of a test, in a directory of their own that goes with them.
    struct Files(PathBuf);

    impl Files {
        fn new(name: &str) -> Self {
            let dir = format!("rpmctl-node-{}-{name}", std::process::id());
            let dir = std::env::temp_dir().join(dir);
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        /// A file of this content.
        fn file(&self, name: &str, content: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, content).unwrap();
            path
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            // What is left does not matter to the next test.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_a_file_exports_comes_as_json_whatever_it_prints() {
        let files = Files::new("what_a_file_exports");
        let table = [
            (
                "a.config.js",
                "console.log('[dotenv] {\"x\": 1}'); console.error('!'); setInterval(() => {}, 1000); module.exports = {apps: [{a: /x\\/y/, b: undefined, c: () => 1, d: 0 / 0}]};",
                r#"{"apps":[{"a":"/x\\/y/","d":null}]}"#,
            ),
            ("b.config.cjs", "module.exports = [1, 'ö']", "[1,\"ö\"]"),
            (
                "c.config.mjs",
                "export default {apps: []}",
                r#"{"apps":[]}"#,
            ),
            (
                "d.config.mjs",
                "await 1; export default {apps: [1]}",
                r#"{"apps":[1]}"#,
            ),
            ("e.config.js", "", "{}"),
        ];
        for (name, content, json) in table {
            let told = exports("node", &files.file(name, content), PATIENCE);
            assert_eq!(told.unwrap(), json, "{name}");
        }
    }

    #[test]
    fn more_than_a_pipe_holds_comes_whole() {
        let files = Files::new("more_than_a_pipe_holds");
        let content = "module.exports = {x: 'y'.repeat(1000000)}";
        let told = exports("node", &files.file("long.config.js", content), PATIENCE).unwrap();
        assert_eq!(told.len(), 1_000_008);
    }

    #[test]
    fn a_file_without_an_end_is_ended() {
        let files = Files::new("a_file_without_an_end");
        let path = files.file("endless.config.js", "for (;;) {}");
        let told = exports("node", &path, Duration::from_millis(300));
        assert!(matches!(told, Err(Trouble::Endless(_))), "{told:?}");
    }

    #[test]
    fn a_file_that_prints_without_an_end_is_ended() {
        let files = Files::new("a_file_that_prints_without_an_end");
        let content = "const x = 'y'.repeat(65536); for (;;) require('fs').writeSync(1, x);";
        let told = exports("node", &files.file("loud.config.js", content), PATIENCE);
        assert!(matches!(told, Err(Trouble::TooMuch)), "{told:?}");
    }

    #[test]
    fn a_wrong_file_is_told_with_its_line() {
        let files = Files::new("a_wrong_file");
        let table = [
            (
                "syntax.config.js",
                "module.exports = {\n  apps: [}\n",
                ".config.js:2: SyntaxError: ",
            ),
            (
                "type.config.js",
                "\n\nnull.x",
                ".config.js:3:6: TypeError: ",
            ),
            ("throw.config.js", "throw 'no'", "no"),
            (
                "gone.config.js",
                "require('./nowhere')",
                "Error: Cannot find module './nowhere'",
            ),
        ];
        for (name, content, said) in table {
            match exports("node", &files.file(name, content), PATIENCE) {
                Err(Trouble::Failed(what)) => assert!(what.contains(said), "{name}: {what}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn without_node_it_is_missing() {
        let told = exports("node-that-is-not-here", Path::new("x.js"), PATIENCE);
        assert!(matches!(told, Err(Trouble::Missing)), "{told:?}");
    }

    #[test]
    fn the_one_command_quotes_the_path() {
        assert_eq!(
            one_command("ecosystem.config.js"),
            "node -p 'JSON.stringify(require(\"./ecosystem.config.js\"))'"
        );
        assert_eq!(
            one_command("/it's/a.config.cjs"),
            "node -p 'JSON.stringify(require(\"/it'\\''s/a.config.cjs\"))'"
        );
        assert_eq!(
            one_command("a.config.mjs"),
            "node --input-type=module -e 'import c from \"./a.config.mjs\"; console.log(JSON.stringify(c))'"
        );
    }
}
