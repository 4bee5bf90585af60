//! The tarball, and the bill of materials that all packages carry.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::{
    Packed, VERSION, files, has_pages_and_words, is_the_binary, names_the_licences, succeed,
    two_workers_serve,
};
use crate::harness::{Runtime, go_server, source};

#[test]
fn the_tarball_unpacks_to_one_folder_that_serves() {
    let packed = Packed::new("packages-tarball", &["tarball"]);
    let tarball = packed.one("rpm-runtime-", "-linux.tar.gz");
    let root = packed.place.join("root");
    fs::create_dir(&root).unwrap();
    succeed(
        Command::new("tar")
            .arg("-xzf")
            .arg(&tarball)
            .current_dir(&root),
    );
    let folders = files(&root);
    assert_eq!(folders.len(), 1, "{folders:?}");
    let folder = &folders[0];
    let name = folder.file_name().unwrap().to_str().unwrap();
    assert_eq!(
        format!("{name}.tar.gz"),
        tarball.file_name().unwrap().to_str().unwrap()
    );
    is_the_binary(&folder.join("rpm-runtime"));
    has_pages_and_words(&folder.join("share"), &folder.join("rpmctl"));
    for paper in [
        "LICENSE",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "CHANGELOG.md",
    ] {
        assert!(
            fs::read(folder.join(paper)).unwrap() == fs::read(source(paper)).unwrap(),
            "{paper}"
        );
    }
    names_the_licences(&fs::read_to_string(folder.join("THIRD-PARTY")).unwrap());
    assert_eq!(
        fs::read(folder.join("sbom.cdx.json")).unwrap(),
        fs::read(packed.one("rpm-runtime-", ".cdx.json")).unwrap()
    );

    let server = go_server(&packed.place);
    let builder = Runtime::builder()
        .binary(folder.join("rpm-runtime"))
        .program([server]);
    two_workers_serve(builder, |_| ());
}

/// By the schema of CycloneDX 1.6, in its strict form, and by what Cargo.lock says.
#[test]
fn the_bill_of_materials_is_valid_and_names_what_is_linked() {
    let packed = Packed::new("packages-sbom", &["tarball"]);
    let path = packed.one("rpm-runtime-", ".cdx.json");
    let mut command = Command::new("python3");
    command.arg(source("tests/payloads/sbom.py")).arg(&path);
    succeed(command.env("PYTHONPATH", source("target/cyclonedx")));

    let document: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let subject = &document["metadata"]["component"];
    assert_eq!(subject["version"], VERSION);
    let sum = succeed(Command::new("sha256sum").arg(crate::harness::static_runtime()));
    assert_eq!(
        subject["components"][0]["hashes"][0]["content"].as_str(),
        sum.split_whitespace().next()
    );

    let components = document["components"].as_array().unwrap();
    let names: BTreeSet<&str> = components
        .iter()
        .map(|found| found["name"].as_str().unwrap())
        .collect();
    for linked in ["tokio", "hyper", "subtle", "libc", "rust-std", "glibc"] {
        assert!(names.contains(linked), "no {linked}");
    }
    // For tests, for procedural macros, for the build, for another system.
    for other in ["proptest", "serde_derive", "syn", "autocfg", "windows-sys"] {
        assert!(!names.contains(other), "{other} is not linked");
    }
    let lock = fs::read_to_string(source("Cargo.lock")).unwrap();
    for found in components.iter().filter(|found| found["purl"].is_string()) {
        let text = |key: &str| found[key].as_str().unwrap();
        let sum = found["hashes"][0]["content"].as_str().unwrap();
        let (name, version) = (text("name"), text("version"));
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        let at = lock
            .find(&entry)
            .unwrap_or_else(|| panic!("{name} {version} is not in Cargo.lock"));
        let entry = lock[at..].split("\n\n").next().unwrap();
        assert!(
            entry.contains(&format!("checksum = \"{sum}\"")),
            "{name}: {entry}"
        );
    }
}
