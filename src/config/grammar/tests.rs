//! Tables of valid and invalid values.

use proptest::prelude::*;

use super::*;
use crate::config::show;

/// Only the error text.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Yes(bool);

impl Word for Yes {
    const ALL: &'static [Self] = &[Self(true), Self(false)];

    fn word(self) -> &'static str {
        if self.0 { "yes" } else { "no" }
    }
}

#[test]
fn fixed_words() {
    assert_eq!(word(" YES"), Ok(Yes(true)));
    assert_eq!(show_word(&Yes(false)), "no");
    for text in ["", "maybe", "yes no"] {
        let wrong = word::<Yes>(text).unwrap_err();
        assert_eq!(wrong, Wrong::new(UNKNOWN_WORD, "yes, no"), "{text}");
    }
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
    let name = what(signal("33"));
    assert_eq!(name, "is a signal that the C library keeps for itself");
    assert_eq!(what(signal("TREM")), "is not a signal");
    assert_eq!(or_off("Off", signal), Ok(None));
    assert_eq!(or_off("9", signal), Ok(Some(Sig::KILL)));
}

proptest! {
    #[test]
    fn a_duration_is_read_as_it_is_shown(milliseconds in 0_u64..=86_400_000) {
        let value = Duration::from_millis(milliseconds);
        prop_assert_eq!(duration(&show::duration(&value)), Ok(value));
    }

    #[test]
    fn no_text_upsets_the_grammar(text in "\\PC{0,12}|[0-9a-z:.,*=-]{0,12}") {
        let _ = (duration(&text), number(&text, 0, 9), exit_codes(&text), signal(&text));
        let _ = (absolute_path(&text), http(&text, ""), word::<Yes>(&text));
        for setting in crate::config::settings() {
            let _ = setting.check(&text);
        }
    }
}
