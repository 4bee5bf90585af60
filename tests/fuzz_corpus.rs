//! What the fuzz targets were told to remember, run once: `make fuzz` looks for more.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::format_push_string,
    clippy::print_stdout,
    reason = "a test ends at the first surprise, and says where"
)]

use std::fs;
use std::path::Path;

#[path = "../fuzz/bodies/exposition.rs"]
mod exposition;
#[path = "../fuzz/bodies/json.rs"]
mod json;
#[path = "../fuzz/bodies/multiproc.rs"]
mod multiproc;
#[path = "../fuzz/bodies/splitter.rs"]
mod splitter;

/// Runs `body` with each file of its corpus, and with nothing.
fn run(target: &str, body: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut files = 0;
    for entry in fs::read_dir(corpus.join(target)).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::read(&path).unwrap();
        // A failed test shows its output: the last name is the one.
        println!("{}", path.display());
        body(&data);
        // What is nearly the same is often worse.
        for end in 0..data.len() {
            body(&data[..end]);
        }
        files += 1;
    }
    assert!(files >= 5, "only {files} files for {target}");
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
