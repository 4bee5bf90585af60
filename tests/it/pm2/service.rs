//! A service that pm2 ran, translated and run by the runtime.

use std::fs;

use super::{printed, rpmctl, variables};
use crate::harness::{Runtime, Signal, free_port, scratch};

const APP: &str = "
const http = require('http');
const { NODE_APP_INSTANCE, name, NODE_ENV, FEATURE, watch } = process.env;
process.on('SIGINT', () => { console.log(`stopped by SIGINT ${NODE_APP_INSTANCE}`); process.exit(0); });
http.createServer((_, answer) => answer.end('ok')).listen(process.env.PORT, () => {
  console.log(`up ${NODE_APP_INSTANCE} ${name} ${NODE_ENV} ${FEATURE} ${watch} ${process.argv.slice(2)}`);
  process.send('ready');
});
";

#[test]
fn a_translated_service_runs_with_its_workers_names_and_variables() {
    let directory = scratch("from-pm2-service");
    fs::write(directory.join("app.js"), APP).unwrap();
    let port = free_port();
    let file = format!(
        "module.exports = {{apps: [{{name: 'shop', script: './app.js', args: ['--queue', 'a b'], instances: 3, exec_mode: 'cluster', \
         wait_ready: true, listen_timeout: 20000, kill_timeout: 5000, env: {{NODE_ENV: 'development', FEATURE: {{a: 1}}}}, \
         env_production: {{NODE_ENV: 'production', watch: true, PORT: {port}}}}}]}};"
    );
    fs::write(directory.join("ecosystem.config.js"), file).unwrap();
    let words = ["ecosystem.config.js", "--env", "production"];
    let output = rpmctl(&directory, &words).output().unwrap();
    let text = printed(&output);

    let mut builder = Runtime::builder().directory(&directory);
    for (name, value) in variables(&text) {
        builder = builder.env(name, value);
    }
    let mut runtime = builder.start();
    runtime.wait_for_status("/readyz", 200);
    runtime.wait_for_lines(3, |line| {
        line.contains("worker ready") && line.contains("by=message")
    });
    for slot in 0..3 {
        let up = format!("up {slot} shop production {{\"a\":1}} true --queue,a b");
        runtime.wait_for_line(|line| line == up);
    }
    assert_eq!(runtime.workers().len(), 3);
    // pm2 stops with SIGINT, and so does the runtime with these variables.
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
    for slot in 0..3 {
        let stopped = format!("stopped by SIGINT {slot}");
        assert!(runtime.texts().contains(&stopped), "{}", runtime.shown());
    }
}

#[test]
fn a_translated_command_line_runs() {
    let directory = scratch("from-pm2-service-words");
    fs::write(directory.join("app.js"), APP).unwrap();
    let words = [
        "--",
        "pm2-runtime",
        "app.js",
        "-i",
        "2",
        "--name",
        "web",
        "--",
        "x",
    ];
    let text = printed(&rpmctl(&directory, &words).output().unwrap());
    let mut builder = Runtime::builder()
        .directory(&directory)
        .env("PORT", free_port().to_string());
    for (name, value) in variables(&text) {
        builder = builder.env(name, value);
    }
    let mut runtime = builder.start();
    for slot in 0..2 {
        runtime
            .wait_for_line(|line| line == format!("up {slot} web undefined undefined undefined x"));
    }
    runtime.wait_for_status("/readyz", 200);
    runtime.signal(Signal::SIGTERM);
    assert_eq!(runtime.wait_exit().code(), Some(0));
}
