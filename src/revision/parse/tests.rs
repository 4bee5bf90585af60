//! What files may hold.

use proptest::collection::vec;
use proptest::prelude::*;

use super::git::{Head, RefName, gitdir, head, line};
use super::packed::PackedRefs;
use super::text::tidy;
use super::{hg, package};

const SHA: &str = "1f07cc75db7ea1d8b9aa5d1c7a3f2b4c6d8e9f00";

fn commit(text: &str) -> Option<String> {
    match head(text.as_bytes()) {
        Some(Head::Commit(commit)) => Some(commit),
        _ => None,
    }
}

fn name(text: &str) -> Option<RefName> {
    match head(format!("ref: {text}\n").as_bytes()) {
        Some(Head::Ref(name)) => Some(name),
        _ => None,
    }
}

#[test]
fn a_commit_is_a_sha_of_either_length() {
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(commit(SHA), some(SHA));
    assert_eq!(commit(&format!("{SHA}\n")), some(SHA));
    assert_eq!(commit(&format!("{SHA} more")), some(SHA));
    assert_eq!(commit(&SHA.to_uppercase()), some(SHA));
    let long = "ab".repeat(32);
    assert_eq!(commit(&long), some(&long));
    for text in [
        "",
        "\n",
        "abc",
        &SHA[1..],
        &"0".repeat(40),
        &"x".repeat(40),
        "\0\0\0",
    ] {
        assert_eq!(commit(text), None, "{text:?}");
    }
}

#[test]
fn a_ref_has_a_name_that_git_accepts() {
    let main = name("refs/heads/main").unwrap();
    assert_eq!(main.branch(), Some("main".to_owned()));
    assert!(!main.is_of_worktree());
    let deep = name("refs/heads/feature/x-1").unwrap();
    assert_eq!(deep.branch(), Some("feature/x-1".to_owned()));
    assert_eq!(deep.parts().count(), 4);
    let remote = name("refs/remotes/origin/main").unwrap();
    assert_eq!(remote.branch(), None);
    assert!(name("refs/worktree/w").unwrap().is_of_worktree());
    assert_eq!(
        head(b"ref:refs/heads/a"),
        head(b"ref: \t refs/heads/a \r\n")
    );
    assert_eq!(head(b"ref: refs/heads/.invalid\n"), Some(Head::Reftable));
    for text in [
        "",
        "main",
        "/etc/passwd",
        "refs/../../etc/passwd",
        "refs/heads/..",
        "refs/heads/.x",
        "refs/heads/a..b",
        "refs/heads//a",
        "refs/heads/a/",
        "refs/heads/a.lock",
        "refs/heads/a b",
        "refs/heads/a\0b",
        "refs/heads/a\nb",
        "refs/heads/a:b",
        "refs/heads/a@{1}",
        "refs/heads/a.",
    ] {
        assert_eq!(name(text), None, "{text:?}");
    }
}

#[test]
fn the_file_of_a_worktree_names_a_directory() {
    assert_eq!(gitdir(b"gitdir: ../x y\r\n"), Some(b"../x y".as_slice()));
    assert_eq!(gitdir(b"gitdir: /a\n\n"), Some(b"/a".as_slice()));
    for bytes in [
        b"gitdir: \n".as_slice(),
        b"",
        b"gitdir:/a",
        b"/a",
        b"gitdir: a\0b",
    ] {
        assert_eq!(gitdir(bytes), None);
    }
    assert_eq!(line(b"../..\n"), b"../..");
    assert_eq!(line(b"\n\n"), b"");
}

fn packed(text: &[u8], piece: usize, wanted: &RefName) -> Option<String> {
    let mut refs = PackedRefs::new(wanted);
    for piece in text.chunks(piece) {
        if !refs.take(piece) {
            break;
        }
    }
    refs.end()
}

#[test]
fn packed_refs_are_found_wherever_the_pieces_end() {
    let other = SHA.replace('1', "2");
    let endless = "x".repeat(20_000);
    let text = format!(
        "# pack-refs with: peeled fully-peeled sorted \n{other} refs/heads/maint\n{endless}refs/heads/main\n\
         {endless} refs/heads/main\n{other} refs/tags/refs/heads/main\n^{SHA}\n{SHA} refs/heads/main\n{other} refs/heads/z"
    );
    let of = |wanted: &str, piece| packed(text.as_bytes(), piece, &name(wanted).unwrap());
    for piece in [1, 2, 7, 41, 1000, text.len()] {
        assert_eq!(
            of("refs/heads/main", piece),
            Some(SHA.to_owned()),
            "{piece}"
        );
        assert_eq!(of("refs/heads/maint", piece), Some(other.clone()));
        assert_eq!(of("refs/heads/z", piece), Some(other.clone()));
        assert_eq!(of("refs/heads/ain", piece), None);
        assert_eq!(of("refs/heads/absent", piece), None);
    }
}

#[test]
fn a_dirstate_of_either_version_names_the_parent() {
    let hash: Vec<u8> = (1..=20).collect();
    let want = Some("0102030405060708090a0b0c0d0e0f1011121314".to_owned());
    let first = [&hash[..], &[0; 20]].concat();
    let second = [b"dirstate-v2\n", &hash[..], &[0; 44]].concat();
    for bytes in [first, second] {
        assert_eq!(hg::parent(&bytes), want);
        assert_eq!(hg::parent(&bytes[..hg::DIRSTATE]), want);
        assert_eq!(hg::parent(&bytes[..19]), None);
    }
    for bytes in [b"".as_slice(), b"dirstate-v2\n", &[0; 40]] {
        assert_eq!(hg::parent(bytes), None);
    }
    assert_eq!(hg::branch(b" feature/x\n"), Some("feature/x".to_owned()));
    assert_eq!(hg::branch(b"\n"), None);
}

#[test]
fn a_package_has_a_name_or_a_version() {
    let of = |text: &str| package::parse(text.as_bytes());
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        of(r#"{"name":"@acme/shop","version":" 1.2.3 ","scripts":{"version":"x"}}"#),
        Some((some("@acme/shop"), some("1.2.3")))
    );
    assert_eq!(of("\u{feff}{\"name\":\"a\"}"), Some((some("a"), None)));
    assert_eq!(
        of(r#"{"name":["a"],"version":"1"}"#),
        Some((None, some("1")))
    );
    let deep = format!("{{\"version\":{}1{}}}", "[".repeat(1000), "]".repeat(1000));
    for text in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"type":"module"}"#,
        r#"{"name":"","version":1}"#,
        &deep,
    ] {
        assert_eq!(of(text), None, "{text}");
    }
}

#[test]
fn what_is_shown_is_one_short_line() {
    assert_eq!(tidy(" a\nb\u{1b}c "), Some("a?b?c".to_owned()));
    assert_eq!(tidy(" \n "), None);
    let long = tidy(&"\u{fc}".repeat(1000)).unwrap();
    assert_eq!(long, "\u{fc}".repeat(128));
}

/// Bytes that look like what is parsed, so that more than the first test of each parser is reached.
fn like_a_file() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(b"ref: ".to_vec()),
        Just(b"refs/heads/".to_vec()),
        Just(b"refs/heads/main".to_vec()),
        Just(b"gitdir: ".to_vec()),
        Just(b"dirstate-v2\n".to_vec()),
        Just(SHA.as_bytes().to_vec()),
        Just(b"\n".to_vec()),
        Just(b" ".to_vec()),
        Just(b"/".to_vec()),
        Just(b"{\"version\":\"".to_vec()),
        Just(b"\"}".to_vec()),
        vec(any::<u8>(), 0..12),
    ];
    vec(word, 0..12).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(bytes in like_a_file(), piece in 1..40_usize) {
        if let Some(Head::Ref(name)) = head(&bytes) {
            // Each part stays inside its directory.
            prop_assert!(name.parts().all(|part| !part.is_empty() && part != b"." && part != b".." && !part.contains(&b'/')));
            let _ = (name.branch(), name.shown());
        }
        let _ = (gitdir(&bytes), line(&bytes), hg::parent(&bytes), hg::branch(&bytes), package::parse(&bytes));
        let main = name("refs/heads/main").unwrap();
        // However it is cut, the result is the same.
        prop_assert_eq!(packed(&bytes, piece, &main), packed(&bytes, 1 << 20, &main));
    }
}
