//! Fuzzes the line splitter: with any limit and any reads, every byte comes out once, in pieces within the limit.
//!
//! Input: the limit, the number of read lengths, these lengths (used cyclically), the bytes.

use rpm_runtime::log::line::{Block, Splitter};

pub fn run(data: &[u8]) {
    let [limit, count, rest @ ..] = data else {
        return;
    };
    let max = usize::from(*limit).max(1);
    let (lengths, text) = rest.split_at(usize::from(*count).min(rest.len()));
    let lengths: Vec<usize> = lengths.iter().map(|length| usize::from(*length)).collect();

    let (pieces, split) = pieces(max, &chunks(text, &lengths));
    // Without the newlines added at cuts and at the end, the output equals the input.
    let mut joined = Vec::new();
    for (piece, continued) in &pieces {
        if *continued {
            assert_eq!(joined.pop(), Some(b'\n'), "a cut without a newline");
        }
        joined.extend_from_slice(piece);
    }
    if !text.is_empty() && !text.ends_with(b"\n") {
        assert_eq!(joined.pop(), Some(b'\n'), "an end without a newline");
    }
    assert_eq!(joined, text, "bytes were lost, or made up");

    let lines = text.split(|byte| *byte == b'\n');
    let long = lines.filter(|line| line.len() > max).count();
    assert_eq!(split, long as u64, "lines that were cut");
    // The longest character has four bytes.
    if max >= 4 {
        let lines = text.split(|byte| *byte == b'\n');
        for (line, pieces) in lines.zip(pieces.chunk_by(|_, next| next.1)) {
            let all = pieces
                .iter()
                .all(|(piece, _)| str::from_utf8(piece).is_ok());
            assert_eq!(all, str::from_utf8(line).is_ok(), "a character was cut");
        }
    }
    let whole = self::pieces(max, &[text]);
    assert_eq!((pieces, split), whole, "reads make a difference");
}

/// `text`, split into reads of these lengths.
fn chunks<'a>(text: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    // Only empty reads would never end.
    if lengths.iter().all(|length| *length == 0) {
        return vec![text];
    }
    let (mut chunks, mut rest) = (Vec::new(), text);
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at((*length).min(rest.len()));
        chunks.push(chunk);
        rest = after;
    }
    chunks
}

/// Every line or piece separately, with its newline and whether it continues the previous one; and the number of cut
/// lines.
fn pieces(max: usize, chunks: &[&[u8]]) -> (Vec<(Vec<u8>, bool)>, u64) {
    let mut pieces = Vec::new();
    let mut emit = |block: Block<'_>| {
        assert!(!block.head.contains(&b'\n'), "a newline in the head");
        assert_eq!(block.body.last(), Some(&b'\n'), "no newline at the end");
        let bytes = [block.head, block.body].concat();
        let mut lines = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            assert!(line.len() <= max + 1, "a line above the limit");
            pieces.push((line.to_vec(), block.continued));
            lines += 1;
        }
        assert!(!block.continued || lines == 1, "more behind a piece");
    };
    let mut splitter = Splitter::new(max);
    let mut split = 0;
    for chunk in chunks {
        split += splitter.feed(chunk, &mut emit);
        assert!(splitter.held() <= max, "it holds more than the limit");
    }
    splitter.finish(&mut emit);
    assert_eq!(splitter.held(), 0, "something stayed behind");
    (pieces, split)
}
