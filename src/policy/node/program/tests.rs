use super::Program::{NoScript, Other, Script, Wrapper};
use super::*;

const ENV: &str = "#!/usr/bin/env node\n'use strict';\n";
const ELF: &str = "\x7fELF\u{2}\u{1}\u{1}";

/// The command, its words separated by spaces, and the first bytes of its file.
#[track_caller]
fn judges(want: Program, head: Option<&str>, commands: &[&str]) {
    for command in commands {
        let argv: Vec<&[u8]> = command.split_whitespace().map(str::as_bytes).collect();
        let got = program(&argv, head.map(str::as_bytes));
        assert_eq!(got, want, "{command}");
    }
}

#[test]
fn node_with_a_script_is_a_worker() {
    let commands = [
        "node app.js",
        "node .",
        "node ./dist/main",
        "/usr/local/bin/node server.mjs --port 3000",
        "nodejs app.js",
        "node20 app.js",
        "node-22 app.js",
        "/opt/node-v20.11.0 app.js",
        "node -r dotenv/config dist/main.js",
        "node -r ./tracing.js --import ./b.mjs --max-old-space-size=4096 app.js",
        "node --require=./a.js --enable-source-maps app.js",
        "node --max_old_space_size=512 --no-warnings app.js",
        "node --env-file .env app.js",
        "node --env_file .env app.js",
        "node --env-file-if-exists .env --env-file=b app.js",
        "node --conditions production -C x app.js",
        "node --loader ts-node/esm src/index.ts",
        "node --import tsx src/index.ts",
        "node --inspect app.js",
        "node --inspect=0.0.0.0:9229 app.js",
        "node --inspect-port 9230 app.js",
        "node -i app.js",
        "node --unhandled-rejections strict --title web app.js",
        "node -- app.js",
        "node --enable-source-maps -- -odd.js",
        // What follows the script is the script's.
        "node app.js -e --test --watch inspect",
        "node app.js -- -p",
        "node node_modules/.bin/next start",
        "node node_modules/next/dist/bin/next start -p 3000",
        "node node_modules/.bin/ts-node src/index.ts",
        "env NODE_ENV=production node app.js",
        "/usr/bin/env node app.js",
    ];
    judges(Script, Some(ELF), &commands);
    judges(Script, None, &commands);
}

#[test]
fn a_shell_script_named_node_is_node() {
    judges(
        Script,
        Some("#!/bin/bash\nexec asdf exec"),
        &["node app.js"],
    );
}

#[test]
fn node_without_a_script_is_no_cluster_worker() {
    let commands = [
        "node",
        "node -",
        "node -- -",
        "node --",
        "node - app.js",
        "node -e require('./app')",
        "node --eval require('./app')",
        "node --eval=1 app.js",
        "node -p 1+1",
        "node -pe 1+1",
        "node --print 1 app.js",
        "node -r ./a.js",
        "node --import ./a.mjs -e 1",
        "node --input-type module -e 1",
        "node inspect app.js",
        "node --test",
        "node --test test/a.js",
        "node --run start",
        "node -v",
        "node --version",
        "node --help",
        "node -c app.js",
        "node --experimental-sea-config sea.json",
    ];
    judges(NoScript, Some(ELF), &commands);
}

#[test]
fn a_tool_that_node_runs_is_a_wrapper() {
    let commands = [
        "node /usr/lib/node_modules/npm/bin/npm-cli.js start",
        "node --no-warnings /usr/local/lib/node_modules/npm/bin/npx-cli.js next start",
        "node node_modules/.bin/tsx app.ts",
        "node ./node_modules/tsx/dist/cli.mjs app.ts",
        "node node_modules/.pnpm/tsx@4.7.0/node_modules/tsx/dist/cli.mjs app.ts",
        "node node_modules/nodemon/bin/nodemon.js app.js",
        "node /opt/yarn-v1.22.22/bin/yarn.js start",
        "node .yarn/releases/yarn-4.1.0.cjs start",
        "node /app/.yarn/releases/yarn-4.0.0-rc.48.cjs start",
        "node /usr/local/lib/node_modules/corepack/dist/pnpm.js start",
        "node /usr/lib/node_modules/pm2/bin/pm2-runtime app.js",
        "node node_modules/@nestjs/cli/bin/nest.js start",
        "node node_modules/.bin/dotenv -- node app.js",
        "node --watch app.js",
        "node --watch-path ./src --watch app.js",
        "node --watch-path=./src app.js",
        "env A=b npm start",
    ];
    judges(Wrapper, Some(ELF), &commands);
}

#[test]
fn the_users_own_file_with_the_name_of_a_tool_is_a_script() {
    let commands = [
        "node supervisor.js",
        "node ./dotenv.js",
        "node src/forever.js",
        "node nest",
        "node dist/npm-cli.js",
        "node tsx/main.js",
    ];
    judges(Script, None, &commands);
    judges(Script, Some(ENV), &["./supervisor", "/app/nest.js"]);
}

#[test]
fn a_script_that_leads_to_node_is_a_worker() {
    let commands = [
        "next start",
        "./server.js",
        "/usr/local/bin/http-server .",
        "app -e",
    ];
    for head in [
        ENV,
        "#!/usr/bin/env node",
        "#! /usr/bin/env node\r\n",
        "#!/usr/bin/env -S node --enable-source-maps\n",
        "#!/usr/bin/env -S node --max-old-space-size=1 -r x\n",
        "#!/usr/bin/env -Snode\n",
        "#!/usr/bin/env --split-string=node --no-warnings\n",
        "#!/usr/bin/env -S NODE_ENV=production node\n",
        "#!/usr/local/bin/node\n",
        "#!/usr/local/bin/node --no-warnings\n",
        "#!/usr/bin/nodejs\nlet x",
        "#!/usr/bin/env nodejs18\n",
    ] {
        judges(Script, Some(head), &commands);
    }
    judges(Wrapper, Some("#!/usr/bin/env -S node --watch\n"), &commands);
    judges(NoScript, Some("#!/usr/bin/env -S node --test\n"), &commands);
}

#[test]
fn a_script_that_leads_to_node_and_is_a_tool_is_a_wrapper() {
    let commands = [
        "npm start",
        "npm run start:prod",
        "npx next start",
        "yarn start",
        "yarnpkg start",
        "pnpm start",
        "pnpm.cjs start",
        "corepack yarn start",
        "tsx app.ts",
        "nodemon app.js",
        "ts-node-dev app.ts",
        "tsnd app.ts",
        "pm2-runtime app.js",
        "pm2 start app.js",
        "cross-env NODE_ENV=production node app.js",
        "dotenv -- node app.js",
        "nest start",
        "/usr/local/bin/npm start",
        "./node_modules/.bin/tsx app.ts",
        "/app/node_modules/.bin/nodemon",
        "/usr/lib/node_modules/npm/bin/npm-cli.js start",
    ];
    judges(Wrapper, Some(ENV), &commands);
    // What pnpm puts into node_modules/.bin.
    judges(Wrapper, Some("#!/bin/sh\nbasedir=$(dirname"), &commands);
    judges(Wrapper, None, &commands);
}

#[test]
fn a_script_that_leads_to_a_tool_is_a_wrapper() {
    judges(Wrapper, Some("#!/usr/bin/env tsx\n"), &["./app.ts"]);
    judges(Wrapper, Some("#!/usr/bin/env -S npx tsx\n"), &["./app.ts"]);
}

#[test]
fn what_is_not_node_gets_nothing() {
    let commands = [
        "",
        "python app.py",
        "gunicorn app:app",
        "/app/server --node",
        "nodeapp app.js",
        "nodes",
        "node_exporter",
        "node-red",
        "node-20x app.js",
        "sh -c node\u{a0}app.js",
        "bun app.js",
        "deno run app.ts",
        "env",
        "env -i node app.js",
        "env A=b",
        "env A=b python app.py",
    ];
    judges(Other, Some(ELF), &commands);
    judges(Other, None, &commands);
    // Hadoop's yarn, and other programs that only have such a name.
    judges(Other, Some(ELF), &["yarn start", "turbo", "pm2"]);
    for head in [
        "",
        "#!",
        "#!\n",
        "#!/bin/sh\n",
        "#!/usr/bin/env\n",
        "#!/usr/bin/env python3\nnode",
        "#!/usr/bin/env -i node\n",
        "#!/usr/bin/python3 node\n",
        "// node\n",
    ] {
        judges(Other, Some(head), &["./run", "serve -s"]);
    }
}

#[test]
fn who_gets_no_channel_is_told_why() {
    assert_eq!(Script.why_no_channel(), None);
    assert_eq!(NoScript.why_no_channel(), None);
    let words = Wrapper.why_no_channel().unwrap();
    assert!(words.contains("name the script itself"), "{words}");
    let words = Other.why_no_channel().unwrap();
    assert!(words.contains("not Node"), "{words}");
}

#[test]
fn a_word_that_is_not_utf8_is_no_trouble() {
    assert_eq!(program(&[b"node", b"caf\xe9/app.js"], None), Script);
}
