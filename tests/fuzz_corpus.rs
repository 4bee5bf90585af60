//! Runs the saved inputs of the fuzz targets once; `make fuzz` searches for more.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::format_push_string,
    clippy::print_stdout,
    reason = "a test ends at the first surprise, and says where"
)]

use std::fs;
use std::path::Path;

#[path = "../fuzz/bodies/channel.rs"]
mod channel;
#[path = "../fuzz/bodies/control.rs"]
mod control;
#[path = "../fuzz/bodies/exposition.rs"]
mod exposition;
#[path = "../fuzz/bodies/json.rs"]
mod json;
#[path = "../fuzz/bodies/multiproc.rs"]
mod multiproc;
#[path = "../fuzz/bodies/splitter.rs"]
mod splitter;

/// Runs `body` with each file of its corpus, and with an empty input.
fn run(target: &str, body: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut files = 0;
    for entry in fs::read_dir(corpus.join(target)).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::read(&path).unwrap();
        // The output of a failed test ends with the name of the failing file.
        println!("{}", path.display());
        body(&data);
        // Cut inputs are often worse than whole ones.
        for end in 0..data.len() {
            body(&data[..end]);
        }
        files += 1;
    }
    assert!(files >= 5, "only {files} files for {target}");
}

#[test]
fn the_reader_of_the_node_channel_stands_its_corpus() {
    run("channel", channel::run);
}

#[test]
fn the_readers_of_the_control_socket_stand_their_corpus() {
    run("control", control::run);
}

#[test]
fn the_reader_of_metrics_stands_its_corpus() {
    run("exposition", exposition::run);
}

#[test]
fn the_reader_of_files_stands_its_corpus() {
    run("multiproc", multiproc::run);
}

#[test]
fn the_splitter_stands_its_corpus() {
    run("splitter", splitter::run);
}

#[test]
fn the_writer_of_json_stands_its_corpus() {
    run("json", json::run);
}
