//! Which programs get a channel. Only Node can use one: another program would hand it to what it starts, and confuse it.

/// What a command starts, as far as Node's channel is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Node with a script: it gets a channel and is a cluster worker.
    Script,
    /// Node without a script, or with a mode of its own (`-e`, `--test`, `inspect`): it gets a channel. As a cluster
    /// worker it would never finish `listen()`.
    NoScript,
    /// A tool that starts the real program in a child (npm, tsx, nodemon, `node --watch`): no channel, because the tool
    /// would take it and the program would not get it.
    Wrapper,
    /// Not Node, as far as can be seen.
    Other,
}

impl Program {
    /// Why its workers get no channel, in words; `None` if they get one.
    pub fn why_no_channel(self) -> Option<&'static str> {
        match self {
            Self::Script | Self::NoScript => None,
            Self::Wrapper => Some(
                "the command starts the program in a child, which would not get Node's channel; name the script itself, as in \
                 node server.js",
            ),
            Self::Other => Some("the command is not Node, so it has no channel for messages"),
        }
    }
}

/// Judges a command. `head`: the first bytes of the file that `argv[0]` resolves to, enough for its `#!` line; `None` if it
/// cannot be read.
pub fn program(argv: &[&[u8]], head: Option<&[u8]>) -> Program {
    let Some((command, rest)) = argv.split_first() else {
        return Program::Other;
    };
    if is_node(command) {
        return node(rest.iter().copied());
    }
    if file_name(command) == b"env" {
        return env(rest);
    }
    let Some(head) = head else {
        return by_name(command);
    };
    let Some(line) = head.strip_prefix(b"#!") else {
        return Program::Other;
    };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or(line);
    let words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    match interpreter(words) {
        Some((runs, options)) if is_node(runs) => {
            if is_tool(command) {
                Program::Wrapper
            } else {
                // The kernel starts Node with the path of the script, behind the options of the `#!` line.
                node(options.into_iter().chain(argv.iter().copied()))
            }
        }
        Some((runs, _)) if is_tool(runs) => Program::Wrapper,
        _ => by_name(command),
    }
}

fn by_name(command: &[u8]) -> Program {
    if is_tool(command) {
        Program::Wrapper
    } else {
        Program::Other
    }
}

/// The program of a `#!` line, behind `env`, and the words after it.
fn interpreter<'a>(mut words: impl Iterator<Item = &'a [u8]>) -> Option<(&'a [u8], Vec<&'a [u8]>)> {
    let first = words.next()?;
    if file_name(first) != b"env" {
        return Some((first, words.collect()));
    }
    let command = words
        .map(|word| {
            let split: [&[u8]; 3] = [b"--split-string=", b"--split-string", b"-S"];
            let rest = split.iter().find_map(|option| word.strip_prefix(*option));
            rest.unwrap_or(word)
        })
        .filter(|word| !word.is_empty());
    behind_assignments(command)
}

/// `env NAME=VALUE... COMMAND`. What the command is, if it is not Node itself, is not known: nobody has read its file.
fn env(rest: &[&[u8]]) -> Program {
    match behind_assignments(rest.iter().copied()) {
        Some((command, rest)) if is_node(command) => node(rest.into_iter()),
        Some((command, _)) => by_name(command),
        None => Program::Other,
    }
}

/// `None` if an option comes first: with `env -i` the channel is lost.
fn behind_assignments<'a>(
    words: impl Iterator<Item = &'a [u8]>,
) -> Option<(&'a [u8], Vec<&'a [u8]>)> {
    let mut words = words.skip_while(|word| word.contains(&b'=') && !word.starts_with(b"-"));
    let command = words.next().filter(|word| !word.starts_with(b"-"))?;
    Some((command, words.collect()))
}

/// Judges what stands behind `node`.
fn node<'a>(words: impl Iterator<Item = &'a [u8]>) -> Program {
    let mut words = words.peekable();
    if words.peek().is_some_and(|word| *word == b"inspect") {
        return Program::NoScript;
    }
    let mut watches = false;
    let script = loop {
        let Some(word) = words.next() else {
            break None;
        };
        if word == b"--" {
            break words.next();
        }
        if word == b"-" || !word.starts_with(b"-") {
            break Some(word);
        }
        let (option, value) = option(word);
        let is = |list| is_one_of(list, &option);
        if is(WITHOUT_SCRIPT) {
            return Program::NoScript;
        }
        watches |= is(WATCHES);
        if !value && is(WITH_VALUE) {
            words.next();
        }
    };
    match script {
        None | Some(b"-") => Program::NoScript,
        Some(_) if watches => Program::Wrapper,
        // Here a name alone is a file of the working directory, and the user's own.
        Some(script) if script.contains(&b'/') && is_tool(script) => Program::Wrapper,
        Some(_) => Program::Script,
    }
}

/// The option as Node compares it, and whether its value is in the same word.
fn option(word: &[u8]) -> (Vec<u8>, bool) {
    let end = word.iter().position(|byte| *byte == b'=');
    let name = word.get(..end.unwrap_or(word.len())).unwrap_or(word);
    // Node takes `--env_file` for `--env-file`.
    let dashed = name.iter().map(|byte| match byte {
        b'_' => b'-',
        other => *other,
    });
    (dashed.collect(), end.is_some())
}

/// Whether the command is `node` or `nodejs` with any path, perhaps with a version: `node20`, `node-22.3`.
fn is_node(command: &[u8]) -> bool {
    let name = file_name(command);
    let Some(rest) = name.strip_prefix(b"node") else {
        return false;
    };
    let rest = rest.strip_prefix(b"js").unwrap_or(rest);
    let version = rest.strip_prefix(b"-").unwrap_or(rest);
    let version = version.strip_prefix(b"v").unwrap_or(version);
    let number = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    rest.is_empty() || version.first().is_some_and(u8::is_ascii_digit) && version.iter().all(number)
}

/// Whether this is one of [`TOOLS`] and not a file of the user's own with such a name: `dotenv.js`, `./supervisor`.
fn is_tool(path: &[u8]) -> bool {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    let installed: [&[u8]; 4] = [b"node_modules", b"bin", b".bin", b".yarn"];
    let known = |name| is_one_of(TOOLS, name);
    let here = parts.len() == 1 || parts.iter().any(|part| installed.contains(part));
    // The file may have a name that says nothing: `node_modules/tsx/dist/cli.mjs`.
    let package = parts
        .iter()
        .rposition(|part| *part == b"node_modules")
        .and_then(|at| parts.get(at + 1));
    here && (known(tool_name(path)) || package.is_some_and(|name| known(name)))
}

/// The name without extension, version and `-cli`: `npm-cli.js` is npm, `yarn-4.1.0.cjs` is yarn.
fn tool_name(path: &[u8]) -> &[u8] {
    let name = file_name(path);
    let extensions: [&[u8]; 3] = [b".js", b".cjs", b".mjs"];
    let name = extensions
        .iter()
        .find_map(|extension| name.strip_suffix(*extension))
        .unwrap_or(name);
    let version = name
        .windows(2)
        .position(|pair| matches!(pair, [b'-', b'0'..=b'9']));
    let name = version.and_then(|at| name.get(..at)).unwrap_or(name);
    name.strip_suffix(b"-cli").unwrap_or(name)
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Whether the list, with spaces between its names, has this one.
fn is_one_of(list: &str, name: &[u8]) -> bool {
    list.split_ascii_whitespace()
        .any(|one| one.as_bytes() == name)
}

/// Tools that start the program in a child. Not in it: what runs the script in its own process, such as ts-node.
const TOOLS: &str = "
    npm npx cnpm yarn yarnpkg pnpm pnpx corepack npm-run-all npm-run-all2 run-s run-p concurrently wireit lerna
    nx turbo rush rushx tsx ts-node-dev tsnd ts-node-esm tsc-watch babel-node nodemon node-dev supervisor
    forever pm2 pm2-runtime pm2-docker pm2-dev nf foreman env-cmd cross-env cross-env-shell dotenv dotenvx nest
    react-scripts start-server-and-test nyc c8 0x clinic";

/// Options of Node with which no script is run, or not by this process.
const WITHOUT_SCRIPT: &str = "
    -e --eval -p --print -pe -c --check -h --help -v --version --v8-options --completion-bash --prof-process
    --run --test";

/// Options with which Node runs the script in a child.
const WATCHES: &str = "--watch --watch-path";

/// Options of Node whose value may be the next word: all of Node 18 to 24 that are not flags. Those of V8 need `=`.
const WITH_VALUE: &str = "
    -r --require -C --conditions --import --loader --experimental-loader --env-file --env-file-if-exists
    --allow-fs-read --allow-fs-write --build-snapshot-config --cpu-prof-dir --cpu-prof-interval --cpu-prof-name
    --debug-port --diagnostic-dir --disable-proto --disable-warning --dns-result-order
    --es-module-specifier-resolution --experimental-config-file --experimental-default-type
    --experimental-package-map --experimental-policy --experimental-sea-config
    --experimental-specifier-resolution --heap-prof-dir --heap-prof-interval --heap-prof-name
    --heapsnapshot-near-heap-limit --heapsnapshot-signal --icu-data-dir --input-type --inspect-port
    --inspect-publish-uid --localstorage-file --max-http-header-size --max-old-space-size-percentage
    --network-family-autoselection-attempt-timeout --openssl-config --policy-integrity --redirect-warnings
    --report-dir --report-directory --report-filename --report-signal --secure-heap --secure-heap-min
    --security-revert --security-reverts --snapshot-blob --title --tls-cipher-list --tls-keylog
    --trace-event-categories --trace-event-file-pattern --trace-require-module --unhandled-rejections
    --use-largepages --v8-pool-size --watch-kill-signal --watch-path";

#[cfg(test)]
mod tests;
