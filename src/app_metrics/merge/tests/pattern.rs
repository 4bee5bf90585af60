use super::Pattern;

#[test]
fn stars_stand_for_anything() {
    let matching = [
        ("a", "a"),
        ("*", "a"),
        ("a*", "a"),
        ("a*", "abc"),
        ("*c", "abc"),
        ("a*c", "abc"),
        ("a*b*c", "a_bb_b_c"),
        ("*a*", "bab"),
        ("*_seconds", "x_seconds_seconds"),
        ("*aab", "aaab"),
        ("a*a", "aa"),
    ];
    for (pattern, name) in matching {
        assert!(
            Pattern::new(pattern).unwrap().matches(name),
            "{pattern} {name}"
        );
    }
    let others = [
        ("a", "ab"),
        ("a", "b"),
        ("a*", "ba"),
        ("*c", "cb"),
        ("a*a", "a"),
        ("a*b*c", "acb"),
        ("ab*bc", "abc"),
        ("*aa*aa", "aaa"),
    ];
    for (pattern, name) in others {
        assert!(
            !Pattern::new(pattern).unwrap().matches(name),
            "{pattern} {name}"
        );
    }
}

#[test]
fn what_no_name_can_match_is_no_pattern() {
    for text in ["", "a-b", "1a", "a?", "a b*", "é*", "a**", "[a]*"] {
        assert_eq!(Pattern::new(text), None, "{text}");
    }
    for text in ["*", "a*", "*1", "a:b*_total"] {
        assert!(Pattern::new(text).is_some(), "{text}");
    }
}
