//! Tables of good and bad values.

use proptest::prelude::*;

use super::*;
use crate::config::show;

/// The complaint alone.
fn what<T: std::fmt::Debug>(result: Result<T, Wrong>) -> String {
    result.unwrap_err().what
}

#[test]
fn durations() {
    let good = [
        ("0", 0),
        ("000", 0),
        ("0s", 0),
        ("0h", 0),
        ("500ms", 500),
        ("30s", 30_000),
        (" 2m ", 120_000),
        ("24h", 86_400_000),
        ("00001s", 1000),
    ];
    for (text, milliseconds) in good {
        assert_eq!(
            duration(text),
            Ok(Duration::from_millis(milliseconds)),
            "{text}"
        );
    }
    let bad = [
        ("", "is blank"),
        ("30", "needs a unit"),
        ("-1s", "is negative"),
        ("1.5s", "has a fraction"),
        (".5s", "has a fraction"),
        ("1,5s", "has a fraction"),
        ("s", "does not begin with a number"),
        ("1m30s", "is more than one number with one unit"),
        ("5 s", "has the unknown unit \" s\""),
        ("5S", "has the unknown unit \"S\""),
        ("5d", "has the unknown unit \"d\""),
        ("25h", "is above the limit of 24h"),
        ("86400001ms", "is above the limit of 24h"),
        ("18446744073709551615h", "is above the limit of 24h"),
        ("99999999999999999999s", "is above the limit of 24h"),
    ];
    for (text, complaint) in bad {
        assert_eq!(what(duration(text)), complaint, "{text}");
    }
    assert_eq!(what(positive_duration("0s")), "is zero");
}

#[test]
fn numbers() {
    assert_eq!(number(" 7 ", 1, 10), Ok(7));
    let bad = [
        ("0", "is below 1"),
        ("11", "is above 10"),
        ("99999999999", "is above 10"),
        ("-1", "is negative"),
        ("+1", "is not a whole number"),
        ("1.0", "is not a whole number"),
        ("", "is not a whole number"),
        ("-", "is not a whole number"),
        ("0x10", "is not a whole number"),
    ];
    for (text, complaint) in bad {
        assert_eq!(what(number(text, 1, 10)), complaint, "{text}");
    }
}

#[test]
fn instance_counts() {
    let max = |less| Ok(Instances::Max { less });
    assert_eq!(instances("MAX"), max(0));
    assert_eq!(instances("max-2"), max(2));
    assert_eq!(
        instances("512"),
        Ok(Instances::Count(NonZeroU16::new(512).unwrap()))
    );
    for text in ["max-", "max+1", "max-512", "max--1", "max-+1", "maximum"] {
        assert_eq!(
            what(instances(text)),
            "max is not followed by - and a number below 512",
            "{text}"
        );
    }
    assert_eq!(what(instances("0")), "is below 1");
    assert_eq!(what(instances("513")), "is above 512");
    assert_eq!(what(instances("ma\u{df}")), "is not a whole number");
}

#[test]
fn keywords() {
    let known = [("yes", 1), ("no", 2)];
    assert_eq!(keyword(" YES", &known, &[]), Ok(1));
    assert_eq!(what(keyword("maybe", &known, &["maybe"])), NOT_YET);
    assert_eq!(
        what(keyword("", &known, &["maybe"])),
        "is not one of the known words"
    );
}

#[test]
fn exit_code_lists() {
    assert_eq!(exit_codes(" 143, 0,,143 "), Ok(vec![0, 143]));
    assert_eq!(exit_codes(","), Ok(vec![]));
    assert_eq!(what(exit_codes("0,256")), "\"256\" is not an exit code");
    assert_eq!(what(exit_codes("-1")), "\"-1\" is not an exit code");
}

#[test]
fn signals() {
    assert_eq!(stop_signal("sigterm"), Ok(Sig::TERM));
    assert_eq!(stop_signal("KILL"), Ok(Sig::KILL));
    assert_eq!(what(stop_signal("STOP")), "SIGSTOP does not end a process");
    assert_eq!(
        what(signal("33")),
        "is a signal that the C library keeps for itself"
    );
    assert_eq!(what(signal("TREM")), "is not a signal");
    assert_eq!(optional_signal("Off"), Ok(None));
    assert_eq!(optional_signal("9"), Ok(Some(Sig::KILL)));
}

#[test]
fn readiness() {
    assert_eq!(ready("Auto"), Ok(Ready::Auto));
    assert_eq!(ready("delay:2s"), Ok(Ready::Delay(Duration::from_secs(2))));
    assert_eq!(what(ready("delay:2")), "\"2\" needs a unit");
    assert_eq!(what(ready("delay:")), "\"\" is blank");
    assert_eq!(ready(" NOTIFY"), Ok(Ready::Notify));
    assert_eq!(
        ready("http:/healthz"),
        Ok(Ready::Http("/healthz".to_owned()))
    );
    assert_eq!(what(ready("http:")), "names no path behind http:");
    assert_eq!(what(ready("message")), NOT_YET);
    assert_eq!(what(ready("file:/x")), "is not one of the known words");
}

#[test]
fn admin_addresses() {
    for text in ["0.0.0.0:9464", "[::]:9464", "127.0.0.1:0"] {
        assert_eq!(admin_addr(text), Ok(Some(text.parse().unwrap())));
    }
    assert_eq!(admin_addr("off"), Ok(None));
    let bad = [
        ("9464", "is a port without an address"),
        (":9464", "has no address before the port"),
        ("0.0.0.0", "is an address without a port"),
        ("::", "has no address before the port"),
        ("localhost:9464", "is not an IP address with a port"),
        ("0.0.0.0:65536", "is not an IP address with a port"),
    ];
    for (text, complaint) in bad {
        assert_eq!(what(admin_addr(text)), complaint, "{text}");
    }
}

#[test]
fn application_names() {
    assert_eq!(app_name(" web 1 "), Ok("web 1".to_owned()));
    assert_eq!(what(app_name(" ")), "is blank");
    assert_eq!(what(app_name(&"x".repeat(65))), "is 65 bytes long");
    for text in ["a\nb", "a\u{7f}b", "a\u{2028}b", "a\u{1b}[31m"] {
        assert_eq!(
            what(app_name(text)),
            "holds a control character or a line break"
        );
    }
}

#[test]
fn variable_names() {
    assert_eq!(variable("_PORT1"), Ok("_PORT1".to_owned()));
    for text in ["", "1PORT", "PO RT", "PO-RT", "P\u{d6}RT", "A=B"] {
        assert_eq!(
            what(variable(text)),
            "is not the name of a variable",
            "{text}"
        );
    }
    assert_eq!(
        what(variable("RPM_X")),
        "begins with RPM_, which is the runtime's own"
    );
    assert_eq!(
        what(variable("pm_id")),
        "is a variable that the runtime sets by itself"
    );
}

proptest! {
    #[test]
    fn a_duration_is_read_as_it_is_shown(milliseconds in 0_u64..=86_400_000) {
        let value = Duration::from_millis(milliseconds);
        prop_assert_eq!(duration(&show::duration(value)), Ok(value));
    }

    #[test]
    fn no_text_upsets_the_grammar(text in "\\PC{0,12}|[0-9a-z:.,*=-]{0,12}") {
        let _ = (duration(&text), number(&text, 0, 9), instances(&text), exit_codes(&text), signal(&text));
        let _ = (ready(&text), admin_addr(&text), app_name(&text), variable(&text), absolute_path(&text));
    }
}
