use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn turn(second: u8, number: u32) -> Turn {
    let stamp = Stamp {
        year: 2026,
        rest: [11, 22, 4, 40, second],
    };
    Turn { stamp, number }
}

#[test]
fn a_worker_has_a_file_of_its_own() {
    let table = [
        ("/var/log/web.log", "/var/log/web.log"),
        ("/var/log/web-{slot}.log", "/var/log/web-12.log"),
        ("/{slot}/{slot}.log", "/12/12.log"),
        ("{slot", "{slot"),
        ("{{slot}}", "{12}"),
    ];
    for (template, path) in table {
        assert_eq!(expand(template, SlotId(12)), PathBuf::from(path));
    }
}

#[test]
fn stamps_name_a_second_of_utc() {
    let table = [
        (0, "19700101T000000Z"),
        (1_795_322_412, "20261122T044012Z"),
        (1_709_251_199, "20240229T235959Z"),
        (253_402_300_799, "99991231T235959Z"),
        (253_402_300_800, "99991231T235959Z"),
        (i64::MAX.cast_unsigned() / 2, "99991231T235959Z"),
    ];
    for (seconds, text) in table {
        assert_eq!(Stamp::of(at(seconds)).to_string(), text);
    }
    let before = SystemTime::UNIX_EPOCH - Duration::from_nanos(1);
    assert_eq!(Stamp::of(before).to_string(), "19700101T000000Z");
}

#[test]
fn only_names_of_ours_are_read() {
    let base = OsStr::new("app.log");
    let table = [
        ("app.log.20261122T044012Z", Some((turn(12, 0), Form::Plain))),
        (
            "app.log.20261122T044012Z.gz",
            Some((turn(12, 0), Form::Packed)),
        ),
        (
            "app.log.20261122T044012Z.gz.tmp",
            Some((turn(12, 0), Form::Unfinished)),
        ),
        (
            "app.log.20261122T044012Z.7",
            Some((turn(12, 7), Form::Plain)),
        ),
        (
            "app.log.20261122T044012Z.10.gz",
            Some((turn(12, 10), Form::Packed)),
        ),
        (
            "app.log.20261122T044012Z.4294967295.gz.tmp",
            Some((turn(12, u32::MAX), Form::Unfinished)),
        ),
        ("app.log", None),
        ("app.log.gz", None),
        ("app.log.1", None),
        ("app.log.20261122", None),
        ("app.log.2026-11-22T04", None),
        ("app.log.20261122T044012", None),
        ("app.log.20261122t044012Z", None),
        ("app.log.20261322T044012Z", None),
        ("app.log.20261100T044012Z", None),
        ("app.log.20261122T244012Z", None),
        ("app.log.20261122T046012Z", None),
        ("app.log.20261122T044060Z", None),
        ("app.log.+0261122T044012Z", None),
        ("app.log.20261122T044012Z.", None),
        ("app.log.20261122T044012Z.0", None),
        ("app.log.20261122T044012Z.01", None),
        ("app.log.20261122T044012Z.+1", None),
        ("app.log.20261122T044012Z.-1", None),
        ("app.log.20261122T044012Z.4294967296", None),
        ("app.log.20261122T044012Z.tmp", None),
        ("app.log.20261122T044012Z.gz.tmp.gz", None),
        ("app.log.20261122T044012Z.gz.1", None),
        ("app.log.20261122T044012Z.bak", None),
        ("app.log.20261122T044012Z~", None),
        ("app.log.20261122T0440é2Z", None),
        ("app-log.20261122T044012Z", None),
        ("other.log.20261122T044012Z", None),
        ("xapp.log.20261122T044012Z", None),
        (".20261122T044012Z", None),
        ("", None),
    ];
    for (name, expected) in table {
        assert_eq!(parse(base, OsStr::new(name)), expected, "{name}");
    }
    let bytes = OsStr::from_bytes(b"app.log.20261122T044012Z.\xff");
    assert_eq!(parse(base, bytes), None);
}

#[test]
fn the_oldest_go() {
    use Form::{Packed, Plain, Unfinished};
    type Found = &'static [(u8, u32, Form)];
    type Row = (Found, Option<usize>, bool, Found, &'static [(u8, u32)]);
    let table: &[Row] = &[
        (&[], Some(0), true, &[], &[]),
        (&[(1, 0, Plain)], None, false, &[], &[]),
        (&[(1, 0, Plain)], Some(1), true, &[], &[(1, 0)]),
        (&[(1, 0, Plain)], Some(0), true, &[(1, 0, Plain)], &[]),
        // Ordered by number, not by character.
        (
            &[
                (1, 10, Plain),
                (1, 9, Plain),
                (1, 0, Plain),
                (2, 0, Plain),
                (1, 1, Packed),
            ],
            Some(2),
            true,
            &[(1, 0, Plain), (1, 1, Packed), (1, 9, Plain)],
            &[(1, 10), (2, 0)],
        ),
        // Several forms of one file count as one.
        (
            &[(1, 0, Packed), (1, 0, Plain), (2, 0, Packed)],
            Some(2),
            true,
            &[],
            &[(1, 0)],
        ),
        (
            &[(1, 0, Packed), (1, 0, Plain), (2, 0, Packed)],
            Some(2),
            false,
            &[],
            &[],
        ),
        (
            &[(1, 0, Packed), (1, 0, Plain), (2, 0, Packed)],
            Some(1),
            true,
            &[(1, 0, Plain), (1, 0, Packed)],
            &[],
        ),
        // Files that an earlier process left unfinished are removed and do not count.
        (
            &[(3, 0, Unfinished), (2, 0, Plain), (2, 0, Unfinished)],
            Some(1),
            false,
            &[(2, 0, Unfinished), (3, 0, Unfinished)],
            &[],
        ),
        (
            &[(1, 0, Unfinished)],
            None,
            true,
            &[(1, 0, Unfinished)],
            &[],
        ),
    ];
    let name = |(second, number, form): &(u8, u32, Form)| (turn(*second, *number), *form);
    for (found, retain, compress, remove, pack) in table {
        let found: Vec<_> = found.iter().map(name).collect();
        let expected = Plan {
            remove: remove.iter().map(name).collect(),
            pack: pack.iter().map(|(s, n)| turn(*s, *n)).collect(),
        };
        assert_eq!(plan(&found, *retain, *compress), expected, "{found:?}");
    }
}

fn some_form() -> impl Strategy<Value = Form> {
    prop::sample::select(vec![Form::Plain, Form::Packed, Form::Unfinished])
}

proptest! {
    #[test]
    fn what_is_named_is_read(
        seconds in 0..253_402_300_800_u64,
        number in any::<u32>(),
        form in some_form(),
        base in "[a-zé.0-9]{1,20}",
    ) {
        let turn = Turn { stamp: Stamp::of(at(seconds)), number };
        let base = OsStr::new(&base);
        prop_assert_eq!(parse(base, &turn.file_name(base, form)), Some((turn, form)));
    }

    #[test]
    fn what_is_read_is_named_so(rest in "\\.?[0-9]{8}T[0-9]{6}Z(\\.[0-9+]{0,3})?(\\.gz)?(\\.tmp)?[0-9a-z.]?") {
        let base = OsStr::new("a");
        let name = OsString::from(format!("a{rest}"));
        if let Some((turn, form)) = parse(base, &name) {
            prop_assert_eq!(turn.file_name(base, form), name);
        }
    }

    #[test]
    fn stamps_have_the_order_of_time(one in 0..253_402_300_800_u64, other in 0..253_402_300_800_u64) {
        let (first, second) = (Stamp::of(at(one)), Stamp::of(at(other)));
        prop_assert_eq!(first.cmp(&second), one.cmp(&other));
        prop_assert_eq!(first.to_string().cmp(&second.to_string()), one.cmp(&other));
    }

    #[test]
    fn the_newest_stay(
        found in prop::collection::vec((0..60_u8, 0..3_u32, some_form()), 0..40),
        retain in prop::option::of(0..10_usize),
        compress in any::<bool>(),
    ) {
        let mut found: Vec<_> = found.into_iter().map(|(s, n, form)| (turn(s, n), form)).collect();
        found.sort_unstable();
        found.dedup();
        let plan = plan(&found, retain, compress);
        let whole = |(_, form): &&(Turn, Form)| *form != Form::Unfinished;
        let left: Vec<_> = found.iter().filter(|one| !plan.remove.contains(one)).collect();
        prop_assert!(left.iter().all(whole));
        let mut kept: Vec<Turn> = left.iter().map(|(turn, _)| *turn).collect();
        kept.dedup();
        let mut all: Vec<Turn> = found.iter().filter(whole).map(|(turn, _)| *turn).collect();
        all.dedup();
        let most = retain.unwrap_or(usize::MAX).min(all.len());
        prop_assert_eq!(&kept[..], &all[all.len() - most..]);
        for turn in plan.pack {
            prop_assert!(compress && left.contains(&&(turn, Form::Plain)));
        }
    }
}
